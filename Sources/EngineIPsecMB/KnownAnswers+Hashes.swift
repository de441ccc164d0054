import CryptoTypes

extension KnownAnswer {
  /// Every hash; every MAC under every key size.
  static let hashesAndMACs: [KnownAnswer] = [
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
    KnownAnswer(
      .mac(.xcbcAES), from: "RFC 3566 test case 3",
      key: "000102030405060708090a0b0c0d0e0f",
      input: "000102030405060708090a0b0c0d0e0f",
      output: "d2a246fa349b68a79998a439"),
    KnownAnswer(
      .mac(.kasumiF9), from: "3GPP TS 35.203 implementors' test data for f9",
      key: "2bd6459f82c5b300952c49104881ff48",
      input: """
        38a6f05605d2ec496b227737296f393c8079353edc87e2e805d2ec49a4f2d8e2
        """,
      output: "f63bd72c"),
    KnownAnswer(
      .mac(.cbcmacKasumiF9), from: "3GPP TS 35.203 implementors' test data for f9",
      key: "2bd6459f82c5b300952c49104881ff48",
      input: """
        38a6f05605d2ec496b227737296f393c8079353edc87e2e805d2ec49a4f2d8e2
        """,
      output: "f63bd72c"),
    KnownAnswer(
      .mac(.snow3gUIA2), from: "ETSI SAGE UEA2 and UIA2 implementors' test data, f9",
      key: "c736c6aab22bfff91e2698d2e22ad57e",
      iv: "14793e410397e8fd94793e41039768fd",
      input: """
        d0a7d463df9fb2b278833fa02e235aa172bd970c1473e12907fb648b6599aaa0b24a038665422b20
        a499276a50427009
        """,
      output: "38b554c0"),
    KnownAnswer(
      .mac(.zucEIA3), from: "ETSI SAGE 128-EEA3 and 128-EIA3 implementors' test data",
      key: "c9e6cec4607c72db000aefa88385ab0a",
      iv: "a94059da50000000a94059da50000000",
      input: """
        983b41d47d780c9e1ad11d7eb70391b1de0b35da2dc62f83e7b78d6306ca0ea07e941b7be91348f9
        fcb170e2217fecd97f9f68adb16e5d7d21e569d280ed775c
        """,
      output: "bbaf2fc3"),
  ]
}
