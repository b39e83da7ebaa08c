"""A scripted endpoint with every fault of the wire, over real HTTP on loopback."""
