// EngineOpenSSL: placeholder until its files land.
