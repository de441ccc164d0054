// CryptoDevice: placeholder until its files land.
