// LinuxSystem: placeholder until its files land.
