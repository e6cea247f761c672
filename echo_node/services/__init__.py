"""The node's processes: receive, analyse, deliver, schedule, and the supervisor of all four."""
