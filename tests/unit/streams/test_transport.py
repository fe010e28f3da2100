from __future__ import annotations

from framepilot_app.streams.transport import READ_S, VARIABLE, TransportGate


class World:
    def __init__(self, **environment):
        self.now = 100.0
        self.environment = environment
        self.gate = TransportGate(self.environment, lambda: self.now, self.sleep)

    def sleep(self, seconds):
        self.now += seconds

    @property
    def options(self):
        return self.environment[VARIABLE].split("|")


def test_who_needs_the_same_transport_does_not_wait():
    world = World()
    for _ in range(3):
        world.gate.enter("tcp")
    assert world.now == 100
    assert "rtsp_transport;tcp" in world.options


def test_who_needs_another_waits_until_the_openings_before_have_read_theirs():
    world = World()
    world.gate.enter("tcp")
    world.now += 0.2
    world.gate.enter("tcp")
    world.now += 0.1
    world.gate.enter("udp")
    assert world.now == 100.2 + READ_S
    assert "rtsp_transport;udp" in world.options
    world.now += 60
    world.gate.enter("tcp")
    assert world.now == 160.2 + READ_S


def test_options_that_the_user_sets_stay():
    world = World(**{VARIABLE: "stimeout;1"})
    world.gate.enter("tcp")
    world.gate.enter("udp")
    assert world.options == ["rtsp_transport;udp", "stimeout;1", "allowed_media_types;video"]
