// StatsEndpoint: placeholder until its files land.
