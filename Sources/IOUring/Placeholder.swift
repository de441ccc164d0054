// IOUring: placeholder until its files land.
