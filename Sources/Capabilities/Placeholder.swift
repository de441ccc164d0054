// Capabilities: placeholder until its files land.
