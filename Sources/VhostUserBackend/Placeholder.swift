// VhostUserBackend: placeholder until its files land.
