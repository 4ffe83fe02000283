"""Stand-ins for services that the tests must not depend on; each speaks the real protocol on loopback."""
