// Counters: placeholder until its files land.
