//! A simulated population of palms whose scores look like a biometric system's. Shared by the demo and the benches; claims nothing about real palms.
