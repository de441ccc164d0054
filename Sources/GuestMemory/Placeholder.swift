// GuestMemory: placeholder until its files land.
