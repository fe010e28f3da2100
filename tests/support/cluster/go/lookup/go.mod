module framepilot.dev/cluster/lookup

go 1.25.0
