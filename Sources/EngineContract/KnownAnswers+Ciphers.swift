import CryptoTypes

extension KnownAnswer {
  /// Every mode under every key size.
  static let ciphers: [KnownAnswer] = [
    KnownAnswer(
      .cipher(.aesECB), from: "NIST SP 800-38A F.1.1",
      key: "2b7e151628aed2a6abf7158809cf4f3c",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: """
        3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf43b1cd7f598ece23
        881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4
        """),
    KnownAnswer(
      .cipher(.aesECB), from: "NIST SP 800-38A F.1.3",
      key: "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: """
        bd334f1d6e45f25ff712a214571fa5cc974104846d0ad3ad7734ecb3ecee4eefef7afd2270e2e60a
        dce0ba2face6444e9a4b41ba738d6c72fb16691603c18e0e
        """),
    KnownAnswer(
      .cipher(.aesECB), from: "NIST SP 800-38A F.1.5",
      key: "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: """
        f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870b6ed21b99ca6f4f9
        f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7
        """),
    KnownAnswer(
      .cipher(.aesCBC), from: "NIST SP 800-38A F.2.1",
      key: "2b7e151628aed2a6abf7158809cf4f3c",
      iv: "000102030405060708090a0b0c0d0e0f",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: """
        7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b273bed6b8e3c1743b
        7116e69e222295163ff1caa1681fac09120eca307586e1a7
        """),
    KnownAnswer(
      .cipher(.aesCBC), from: "NIST SP 800-38A F.2.3",
      key: "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
      iv: "000102030405060708090a0b0c0d0e0f",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: """
        4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a571b242012fb7ae0
        7fa9baac3df102e008b0e27988598881d920a9e64f5615cd
        """),
    KnownAnswer(
      .cipher(.aesCBC), from: "NIST SP 800-38A F.2.5",
      key: "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
      iv: "000102030405060708090a0b0c0d0e0f",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: """
        f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacf
        a530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b
        """),
    KnownAnswer(
      .cipher(.aesCTR), from: "NIST SP 800-38A F.5.1",
      key: "2b7e151628aed2a6abf7158809cf4f3c",
      iv: "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: """
        874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff5ae4df3edbd5d35e
        5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee
        """),
    KnownAnswer(
      .cipher(.aesCTR), from: "NIST SP 800-38A F.5.3",
      key: "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
      iv: "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: """
        1abc932417521ca24f2b0459fe7e6e0b090339ec0aa6faefd5ccc2c6f4ce8e941e36b26bd1ebc670
        d1bd1d665620abf74f78a7f6d29809585a97daec58c6b050
        """),
    KnownAnswer(
      .cipher(.aesCTR), from: "NIST SP 800-38A F.5.5",
      key: "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
      iv: "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: """
        601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c52b0930daa23de94c
        e87017ba2d84988ddfc9c58db67aada613c2dd08457941a6
        """),
    KnownAnswer(
      .cipher(.aesXTS), from: "IEEE 1619-2007 annex B, vector 2",
      key: "1111111111111111111111111111111122222222222222222222222222222222",
      iv: "33333333330000000000000000000000",
      input: "4444444444444444444444444444444444444444444444444444444444444444",
      output: "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0"),
    KnownAnswer(
      .cipher(.aesXTS), from: "IEEE 1619-2007 annex B, vector 15",
      key: "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0bfbebdbcbbbab9b8b7b6b5b4b3b2b1b0",
      iv: "9a785634120000000000000000000000",
      input: "000102030405060708090a0b0c0d0e0f10",
      output: "6c1625db4671522d3d7599601de7ca09ed"),
    KnownAnswer(
      .cipher(.aesXTS), from: "IEEE 1619-2007 annex B, leading 32 bytes of vector 10",
      key: """
        27182818284590452353602874713526624977572470936999595749669676273141592653589793
        238462643383279502884197169399375105820974944592
        """,
      iv: "ff000000000000000000000000000000",
      input: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
      output: "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b"),
    KnownAnswer(
      .cipher(.tripleDESECB), from: "NIST SP 800-67 rev. 1 appendix B.1",
      key: "0123456789abcdef23456789abcdef01456789abcdef0123",
      input: "54686520717566636b2062726f776e20666f78206a756d70",
      output: "a826fd8ce53b855fcce21c8112256fe668d5c05dd9b6b900"),
    KnownAnswer(
      .cipher(.tripleDESCBC), from: "NIST example values, TDES_CBC",
      key: "0123456789abcdef23456789abcdef01456789abcdef0123",
      iv: "f69f2445df4f9b17",
      input: "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
      output: "2079c3d53aa763e193b79e2569ab5262516570481f25b50f73c0bda85c8e0da7"),
  ]
}
