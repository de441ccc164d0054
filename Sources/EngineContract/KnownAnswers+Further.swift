import CryptoTypes

extension KnownAnswer {
  /// Ciphers of the legacy provider, and modes that are put together.
  static let furtherCiphers: [KnownAnswer] = [
    KnownAnswer(
      .cipher(.arc4), from: "RFC 6229 §2, key of 40 bits, offset 0",
      key: "0102030405",
      input: "0000000000000000000000000000000000000000000000000000000000000000",
      output: "b2396305f03dc027ccc3524a0a1118a86982944f18fc82d589c403a47a0d0919"),
    KnownAnswer(
      .cipher(.arc4), from: "RFC 6229 §2, key of 56 bits, offset 0",
      key: "01020304050607",
      input: "0000000000000000000000000000000000000000000000000000000000000000",
      output: "293f02d47f37c9b633f2af5285feb46be620f1390d19bd84e2e0fd752031afc1"),
    KnownAnswer(
      .cipher(.arc4), from: "RFC 6229 §2, key of 64 bits, offset 0",
      key: "0102030405060708",
      input: "0000000000000000000000000000000000000000000000000000000000000000",
      output: "97ab8a1bf0afb96132f2f67258da15a88263efdb45c4a18684ef87e6b19e5b09"),
    KnownAnswer(
      .cipher(.arc4), from: "RFC 6229 §2, key of 80 bits, offset 0",
      key: "0102030405060708090a",
      input: "0000000000000000000000000000000000000000000000000000000000000000",
      output: "ede3b04643e586cc907dc2185170990203516ba78f413beb223aa5d4d2df6711"),
    KnownAnswer(
      .cipher(.arc4), from: "RFC 6229 §2, key of 128 bits, offset 0",
      key: "0102030405060708090a0b0c0d0e0f10",
      input: "0000000000000000000000000000000000000000000000000000000000000000",
      output: "9ac7cc9a609d1ef7b2932899cde41b975248c4959014126a6e8a84f11d1a9e1c"),
    KnownAnswer(
      .cipher(.arc4), from: "RFC 6229 §2, key of 192 bits, offset 0",
      key: "0102030405060708090a0b0c0d0e0f101112131415161718",
      input: "0000000000000000000000000000000000000000000000000000000000000000",
      output: "0595e57fe5f0bb3c706edac8a4b2db11dfde31344a1af769c74f070aee9e2326"),
    KnownAnswer(
      .cipher(.arc4), from: "RFC 6229 §2, key of 256 bits, offset 0",
      key: "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
      input: "0000000000000000000000000000000000000000000000000000000000000000",
      output: "eaa6bd25880bf93d3f5d1e4ca2611d91cfa45c9f7e714b54bdfa80027cb14380"),
    KnownAnswer(
      .cipher(.desECB), from: "FIPS 81 table B1",
      key: "0123456789abcdef",
      input: "4e6f77206973207468652074696d6520666f7220616c6c20",
      output: "3fa40e8a984d48156a271787ab8883f9893d51ec4b563b53"),
    KnownAnswer(
      .cipher(.desCBC), from: "FIPS 81 table C1",
      key: "0123456789abcdef",
      iv: "1234567890abcdef",
      input: "4e6f77206973207468652074696d6520666f7220616c6c20",
      output: "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6"),
    KnownAnswer(
      .cipher(.desCBC), from: "CM-SP-SECv3.1-I07-170111 I.7",
      key: "e6600fd8852ef5ab",
      iv: "810e528e1c5fda1a",
      input: "000102030405060708090a0b88416506",
      output: "0dda5acbd05e55679f04d1b6413d4eed"),
    KnownAnswer(
      .cipher(.tripleDESCTR), from: "NIST example values, TDES_CTR",
      key: "0123456789abcdef23456789abcdef01456789abcdef0123",
      iv: "f69f2445df4f9b17",
      input: "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
      output: "078bb74e59ce7ed619aa11d25004fb65a03cedf1ba0b09baa3bc81b8f69c1da9"),
    KnownAnswer(
      .cipher(.aesF8), from: "RFC 3711 B.1",
      key: "234829008467be186c3de14aae72d62c32f2870d555555555555555555555555",
      iv: "006e5cba50681de55c621599d462564a",
      input: "70736575646f72616e646f6d6e65737320697320746865206e6578742062657374207468696e67",
      output: "019ce7a26e7854014a6366aa95d4eefd1ad4172a14f9faf455b7f1d4b62bd08f562c0eef7c4802"),
    // No publication has f8 with longer keys.
    KnownAnswer(
      .cipher(.aesF8), from: "RFC 3711 §4.1.2, worked out block by block with AES-192",
      key: """
        8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b32f2870d555555555555555555555555
        5555555555555555
        """,
      iv: "006e5cba50681de55c621599d462564a",
      input: "70736575646f72616e646f6d6e65737320697320746865206e6578742062657374207468696e67",
      output: "203f2ae01c1ab7dc43b0afaaa3ed15774cfaa87edb0d5a7f8637cadc4a8d920e38a741ddf69dca"),
    KnownAnswer(
      .cipher(.aesF8), from: "RFC 3711 §4.1.2, worked out block by block with AES-256",
      key: """
        603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff432f2870d55555555
        555555555555555555555555555555555555555555555555
        """,
      iv: "006e5cba50681de55c621599d462564a",
      input: "70736575646f72616e646f6d6e65737320697320746865206e6578742062657374207468696e67",
      output: "7341312a84d94287869117bac0de145f8706278ff976e15fd6a9c89003eebc4dfcfe87e415b44d"),
  ]

  /// MACs that are put together.
  static let furtherMACs: [KnownAnswer] = [
    KnownAnswer(
      .mac(.cbcmacAES), from: "NIST SP 800-38A F.2.1, its IV in the first block",
      key: "2b7e151628aed2a6abf7158809cf4f3c",
      input: """
        6bc0bce12a459991e134741a7f9e1925ae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: "3ff1caa1681fac09120eca307586e1a7"),
    KnownAnswer(
      .mac(.cbcmacAES), from: "NIST SP 800-38A F.2.3, its IV in the first block",
      key: "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
      input: """
        6bc0bce12a459991e134741a7f9e1925ae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: "08b0e27988598881d920a9e64f5615cd"),
    KnownAnswer(
      .mac(.cbcmacAES), from: "NIST SP 800-38A F.2.5, its IV in the first block",
      key: "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
      input: """
        6bc0bce12a459991e134741a7f9e1925ae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411
        e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710
        """,
      output: "b2eb05e2c39be9fcda6c19078c6a9d1b"),
    KnownAnswer(
      .mac(.xcbcAES), from: "RFC 3566 §4.6, test case 1",
      key: "000102030405060708090a0b0c0d0e0f",
      output: "75f0251d528ac01c4573dfd584d79f29"),
    KnownAnswer(
      .mac(.xcbcAES), from: "RFC 3566 §4.6, test case 3",
      key: "000102030405060708090a0b0c0d0e0f",
      input: "000102030405060708090a0b0c0d0e0f",
      output: "d2a246fa349b68a79998a4394ff7a263"),
    KnownAnswer(
      .mac(.xcbcAES), from: "RFC 3566 §4.6, test case 4",
      key: "000102030405060708090a0b0c0d0e0f",
      input: "000102030405060708090a0b0c0d0e0f10111213",
      output: "47f51b4564966215b8985c63055ed308"),
    KnownAnswer(
      .mac(.gmacTwofish),
      from: "unpublished, computed with libgcrypt 1.10.1 and N. Ferguson's Twofish",
      key: "ad7a2bd03eac835a6f620fdcb506b345",
      iv: "12153524c0895e81b2c28465",
      input: """
        d609b1f056637a0d46df998d88e5222ab2c2846512153524c0895e8108000f101112131415161718
        191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233340001
        """,
      output: "93062e5e657f91d2460f7cdec4144b34"),
    KnownAnswer(
      .mac(.gmacTwofish), from: "unpublished, computed with N. Ferguson's Twofish",
      key: "ad7a2bd03eac835a6f620fdcb506b34512153524c0895e81",
      iv: "12153524c0895e81b2c28465",
      input: """
        d609b1f056637a0d46df998d88e5222ab2c2846512153524c0895e8108000f101112131415161718
        191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233340001
        """,
      output: "d221daf000e8ba2f8a73e9d4edeee4ac"),
    KnownAnswer(
      .mac(.gmacTwofish),
      from: "unpublished, computed with libgcrypt 1.10.1 and N. Ferguson's Twofish",
      key: "e3c08a8f06c6e3ad95a70557b23f75483ce33021a9c72b7025666204c69c0b72",
      iv: "12153524c0895e81b2c28465",
      input: """
        d609b1f056637a0d46df998d88e5222ab2c2846512153524c0895e8108000f101112131415161718
        191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233340001
        """,
      output: "b45ffe3059c8f6223eecd738b8b662f9"),
  ]
}
