/* The part of NVML that telemetry asks, as a library for tests. It knows one GPU, number 0.
 *
 * Its state is the text file that FRAMEPILOT_NVML_STATE names, which is read again at every call: lines of `key=value`.
 * What has no line is not supported. `error=CODE` makes every call fail with that code, `error.FUNCTION=CODE` one of
 * them; `hang=FUNCTION` holds a call until the line is gone. Structures are laid out as in nvml.h.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SUCCESS = 0,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    TIMEOUT = 10,
};
enum { LINE = 4096, MOST_PROCESSES = 64 };
typedef void *device_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu_instance, compute_instance; } process_t;
typedef struct {
    device_t device;
    unsigned long long type, data;
    unsigned int gpu_instance, compute_instance;
} event_t;

static int gpu;
static long long xid_told;

static int lookup(const char *key, char *value) {
    const char *path = getenv("FRAMEPILOT_NVML_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[LINE];
    size_t length = strlen(key);
    int found = 0;
    while (file && !found && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, length) == 0 && line[length] == '=') {
            line[strcspn(line, "\n")] = 0;
            strcpy(value, line + length + 1);
            found = 1;
        }
    }
    if (file) fclose(file);
    return found;
}

/* Whether the call may go on: its error otherwise. Returns late while it is held. */
static int enter(const char *function) {
    char key[LINE], value[LINE];
    struct timespec pause = {0, 5000000};
    while (lookup("hang", value) && strcmp(value, function) == 0) nanosleep(&pause, NULL);
    snprintf(key, sizeof key, "error.%s", function);
    if (lookup(key, value) || lookup("error", value)) return atoi(value);
    return SUCCESS;
}

static int number(const char *function, const char *key, unsigned long long *answer) {
    char value[LINE];
    int status = enter(function);
    if (status != SUCCESS) return status;
    if (!lookup(key, value)) return NOT_SUPPORTED;
    *answer = strtoull(value, NULL, 0);
    return SUCCESS;
}

static int small(const char *function, const char *key, unsigned int *answer) {
    unsigned long long value;
    int status = number(function, key, &value);
    if (status == SUCCESS) *answer = (unsigned int)value;
    return status;
}

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    return enter("nvmlInitWithFlags");
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) {
    static char text[64];
    snprintf(text, sizeof text, "error %d", code);
    return text;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t *device) {
    int status = enter("nvmlDeviceGetHandleByIndex_v2");
    if (status != SUCCESS) return status;
    *device = &gpu;
    return index == 0 ? SUCCESS : INVALID_ARGUMENT;
}

static int find(const char *function, const char *key, const char *name, device_t *device) {
    char value[LINE];
    int status = enter(function);
    if (status != SUCCESS) return status;
    *device = &gpu;
    return lookup(key, value) && strcmp(value, name) == 0 ? SUCCESS : NOT_FOUND;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, device_t *device) {
    return find("nvmlDeviceGetHandleByUUID", "uuid", uuid, device);
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, device_t *device) {
    return find("nvmlDeviceGetHandleByPciBusId_v2", "pci_bus_id", bus_id, device);
}

int nvmlDeviceGetUUID(device_t device, char *uuid, unsigned int length) {
    char value[LINE];
    int status = enter("nvmlDeviceGetUUID");
    (void)device;
    if (status != SUCCESS) return status;
    if (!lookup("uuid", value)) return NOT_SUPPORTED;
    snprintf(uuid, length, "%s", value);
    return SUCCESS;
}

int nvmlDeviceIsMigDeviceHandle(device_t device, unsigned int *answer) {
    (void)device;
    return small("nvmlDeviceIsMigDeviceHandle", "is_mig_device", answer);
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device_t mig, device_t *device) {
    *device = mig;
    return enter("nvmlDeviceGetDeviceHandleFromMigDeviceHandle");
}

int nvmlDeviceGetMigMode(device_t device, unsigned int *current, unsigned int *pending) {
    (void)device;
    int status = small("nvmlDeviceGetMigMode", "mig", current);
    *pending = *current;
    return status;
}

int nvmlDeviceGetUtilizationRates(device_t device, utilization_t *answer) {
    (void)device;
    answer->memory = 0;
    return small("nvmlDeviceGetUtilizationRates", "utilization", &answer->gpu);
}

int nvmlDeviceGetMemoryInfo(device_t device, memory_t *answer) {
    (void)device;
    int status = number("nvmlDeviceGetMemoryInfo", "memory_total", &answer->total);
    if (status == SUCCESS) status = number("nvmlDeviceGetMemoryInfo", "memory_used", &answer->used);
    answer->free = answer->total - answer->used;
    return status;
}

/* `processes=PID:BYTES,PID:BYTES` */
int nvmlDeviceGetComputeRunningProcesses_v3(device_t device, unsigned int *count, process_t *processes) {
    char value[LINE];
    unsigned int room = *count, found = 0;
    process_t read[MOST_PROCESSES];
    int status = enter("nvmlDeviceGetComputeRunningProcesses_v3");
    (void)device;
    if (status != SUCCESS) return status;
    if (!lookup("processes", value)) return NOT_SUPPORTED;
    for (char *part = strtok(value, ","); part && found < MOST_PROCESSES; part = strtok(NULL, ",")) {
        process_t each = {0, 0, 0, 0};
        if (sscanf(part, "%u:%llu", &each.pid, &each.used) == 2) read[found++] = each;
    }
    *count = found;
    if (found > room) return INSUFFICIENT_SIZE;
    if (found) memcpy(processes, read, found * sizeof *read);
    return SUCCESS;
}

int nvmlDeviceGetTemperature(device_t device, int sensor, unsigned int *answer) {
    (void)device, (void)sensor;
    return small("nvmlDeviceGetTemperature", "temperature", answer);
}

int nvmlDeviceGetPowerUsage(device_t device, unsigned int *answer) {
    (void)device;
    return small("nvmlDeviceGetPowerUsage", "power_mw", answer);
}

int nvmlDeviceGetEnforcedPowerLimit(device_t device, unsigned int *answer) {
    (void)device;
    return small("nvmlDeviceGetEnforcedPowerLimit", "power_limit_mw", answer);
}

int nvmlDeviceGetClockInfo(device_t device, int type, unsigned int *answer) {
    (void)device;
    return small("nvmlDeviceGetClockInfo", type == 1 ? "sm_clock_mhz" : "memory_clock_mhz", answer);
}

int nvmlDeviceGetCurrentClocksEventReasons(device_t device, unsigned long long *answer) {
    (void)device;
    return number("nvmlDeviceGetCurrentClocksEventReasons", "throttle", answer);
}

int nvmlDeviceGetTotalEccErrors(device_t device, int type, int counter, unsigned long long *answer) {
    (void)device, (void)counter;
    return number("nvmlDeviceGetTotalEccErrors", type == 0 ? "ecc_corrected" : "ecc_uncorrected", answer);
}

int nvmlEventSetCreate(device_t *set) {
    *set = &xid_told;
    return enter("nvmlEventSetCreate");
}

int nvmlEventSetFree(device_t set) {
    (void)set;
    return SUCCESS;
}

int nvmlDeviceRegisterEvents(device_t device, unsigned long long types, device_t set) {
    (void)device, (void)types, (void)set;
    return enter("nvmlDeviceRegisterEvents");
}

/* `xid=NUMBER` is an event when it has another number than it had. */
int nvmlEventSetWait_v2(device_t set, event_t *event, unsigned int timeout_ms) {
    char value[LINE];
    int status = enter("nvmlEventSetWait_v2");
    (void)set, (void)timeout_ms;
    if (status != SUCCESS) return status;
    if (!lookup("xid", value) || atoll(value) == xid_told) return TIMEOUT;
    xid_told = atoll(value);
    event->data = (unsigned long long)xid_told;
    return SUCCESS;
}
