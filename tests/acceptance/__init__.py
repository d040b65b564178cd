"""The promise of the guarded apply, kept end to end: the real daemon, tool, guard and SSH server, and packets."""
