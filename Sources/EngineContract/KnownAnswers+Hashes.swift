import CryptoTypes

extension KnownAnswer {
  /// Every hash; every MAC under every key size.
  static let hashesAndMACs: [KnownAnswer] = [
    KnownAnswer(
      .hash(.md5), from: "RFC 1321 A.5",
      input: "616263",
      output: "900150983cd24fb0d6963f7d28e17f72"),
    KnownAnswer(
      .hash(.sha1), from: "FIPS 180-2 A.1",
      input: "616263",
      output: "a9993e364706816aba3e25717850c26c9cd0d89d"),
    KnownAnswer(
      .hash(.sha224), from: "FIPS 180-2 change notice 1",
      input: "616263",
      output: "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
    KnownAnswer(
      .hash(.sha256), from: "FIPS 180-2 B.1",
      input: "616263",
      output: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    KnownAnswer(
      .hash(.sha384), from: "FIPS 180-2 D.1",
      input: "616263",
      output: """
        cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc23
        58baeca134c825a7
        """),
    KnownAnswer(
      .hash(.sha512), from: "FIPS 180-2 C.1",
      input: "616263",
      output: """
        ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a8
        36ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f
        """),
    KnownAnswer(
      .hash(.sha3_224), from: "FIPS 202 example values, message of 1600 bits",
      input: """
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        """,
      output: "9376816aba503f72f96ce7eb65ac095deee3be4bf9bbc2a1cb7e11e0"),
    KnownAnswer(
      .hash(.sha3_256), from: "FIPS 202 example values, message of 1600 bits",
      input: """
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        """,
      output: "79f38adec5c20307a98ef76e8324afbfd46cfd81b22e3973c65fa1bd9de31787"),
    KnownAnswer(
      .hash(.sha3_384), from: "FIPS 202 example values, message of 1600 bits",
      input: """
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        """,
      output: """
        1881de2ca7e41ef95dc4732b8f5f002b189cc1e42b74168ed1732649ce1dbcdd76197a31fd55ee98
        9f2d7050dd473e8f
        """),
    KnownAnswer(
      .hash(.sha3_512), from: "FIPS 202 example values, message of 1600 bits",
      input: """
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        """,
      output: """
        e76dfad22084a8b1467fcf2ffa58361bec7628edf5f3fdc0e4805dc48caeeca81b7c13c30adf52a3
        659584739a2df46be589c51ca1a4a8416df6545a1ce8ba00
        """),
    KnownAnswer(
      .hash(.shake128), from: "FIPS 202 example values, message of 1600 bits, leading bytes",
      input: """
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        """,
      output: """
        131ab8d2b594946b9c81333f9bb6e0ce75c3b93104fa3469d3917457385da037cf232ef7164a6d1e
        b448c8908186ad852d3f85a5cf28da1ab6fe3438171978467f1c05d58c7ef38c284c41f6c2221a76
        f12ab1c04082660250802294fb87180213fdef5b0ecb7df50ca1f8555be14d32e10f6edcde892c09
        424b29f597afc270c904556bfcb47a7d40778d390923642b3cbd0579e60908d5a000c1d08b98ef93
        3f806445bf87f8b009ba9e94f7266122ed7ac24e5e266c42a82fa1bbefb7b8db0066e16a85e0493f
        """),
    KnownAnswer(
      .hash(.shake256), from: "FIPS 202 example values, message of 1600 bits, leading bytes",
      input: """
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3
        """,
      output: """
        cd8a920ed141aa0407a22d59288652e9d9f1a7ee0c1e7c1ca699424da84a904d2d700caae7396ece
        96604440577da4f3aa22aeb8857f961c4cd8e06f0ae6610b1048a7f64e1074cd629e85ad7566048e
        fc4fb500b486a3309a8f26724c0ed628001a1099422468de726f1061d99eb9e93604d5aa7467d4b1
        bd6484582a384317d7f47d750b8f5499512bb85a226c4243556e696f6bd072c5aa2d9b69730244b5
        6853d16970ad817e213e470618178001c9fb56c54fefa5fee67d2da524bb3b0b61ef0e9114a92cdb
        """),
    KnownAnswer(
      .mac(.hmacMD5), from: "RFC 2202, test case 2",
      key: "4a656665",
      input: "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
      output: "750c783e6ab0b503eaa86e310a5db738"),
    KnownAnswer(
      .mac(.hmacSHA1), from: "RFC 2202, test case 2",
      key: "4a656665",
      input: "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
      output: "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    KnownAnswer(
      .mac(.hmacSHA224), from: "RFC 4231, test case 2",
      key: "4a656665",
      input: "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
      output: "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"),
    KnownAnswer(
      .mac(.hmacSHA256), from: "RFC 4231, test case 2",
      key: "4a656665",
      input: "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
      output: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    KnownAnswer(
      .mac(.hmacSHA384), from: "RFC 4231, test case 2",
      key: "4a656665",
      input: "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
      output: """
        af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c7
        8b3239ecfab21649
        """),
    KnownAnswer(
      .mac(.hmacSHA512), from: "RFC 4231, test case 2",
      key: "4a656665",
      input: "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
      output: """
        164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a
        6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737
        """),
    KnownAnswer(
      .mac(.cmacAES), from: "NIST SP 800-38B D.1, example 3",
      key: "2b7e151628aed2a6abf7158809cf4f3c",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        """,
      output: "dfa66747de9ae63030ca32611497c827"),
    KnownAnswer(
      .mac(.cmacAES), from: "NIST SP 800-38B D.2, example 7",
      key: "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        """,
      output: "8a1de5be2eb31aad089a82e6ee908b0e"),
    KnownAnswer(
      .mac(.cmacAES), from: "NIST SP 800-38B D.3, example 11",
      key: "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
      input: """
        6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        """,
      output: "aaf3d8f1de5640c232f5b169b9c911e6"),
    KnownAnswer(
      .mac(.cmac3DES), from: "NIST SP 800-38B D.4, example 15",
      key: "8aa83bf8cbda10620bc1bf19fbb6cd58bc313d4a371ca8b5",
      input: "6bc1bee22e409f96e93d7e117393172aae2d8a57",
      output: "743ddbe0ce2dc2ed"),
    KnownAnswer(
      .mac(.gmacAES), from: "IEEE 802.1AE-2006 test vectors, 54-byte packet authentication",
      key: "ad7a2bd03eac835a6f620fdcb506b345",
      iv: "12153524c0895e81b2c28465",
      input: """
        d609b1f056637a0d46df998d88e5222ab2c2846512153524c0895e8108000f101112131415161718
        191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233340001
        """,
      output: "f09478a9b09007d06f46e9b6a1da25dd"),
    KnownAnswer(
      .mac(.gmacAES), from: "McGrew and Viega, The Galois/Counter Mode of Operation, test case 7",
      key: "000000000000000000000000000000000000000000000000",
      iv: "000000000000000000000000",
      output: "cd33b28ac773f74ba00ed1f312572435"),
    KnownAnswer(
      .mac(.gmacAES), from: "IEEE 802.1AE-2006 test vectors, 54-byte packet authentication",
      key: "e3c08a8f06c6e3ad95a70557b23f75483ce33021a9c72b7025666204c69c0b72",
      iv: "12153524c0895e81b2c28465",
      input: """
        d609b1f056637a0d46df998d88e5222ab2c2846512153524c0895e8108000f101112131415161718
        191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233340001
        """,
      output: "2f0bc5af409e06d609ea8b7d0fa5ea50"),
  ]
}
