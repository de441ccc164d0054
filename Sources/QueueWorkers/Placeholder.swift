// QueueWorkers: placeholder until its files land.
