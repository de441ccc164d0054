// VhostUserProtocol: placeholder until its files land.
