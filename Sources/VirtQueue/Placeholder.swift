// VirtQueue: placeholder until its files land.
