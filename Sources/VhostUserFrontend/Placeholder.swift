// VhostUserFrontend: placeholder until its files land.
