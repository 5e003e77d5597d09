"""VRRPv3 (RFC 9568), pure: no clock, no socket, no randomness; time and bytes are arguments."""
