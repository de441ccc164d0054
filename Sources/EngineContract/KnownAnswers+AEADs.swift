import CryptoTypes

extension KnownAnswer {
  /// Every AEAD under every key size, GCM with both kinds of IV.
  static let aeads: [KnownAnswer] = [
    KnownAnswer(
      .aead(.gcm), from: "McGrew and Viega, The Galois/Counter Mode of Operation, test case 4",
      key: "feffe9928665731c6d6a8f9467308308",
      iv: "cafebabefacedbaddecaf888",
      aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      input: """
        d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953
        2fcf0e2449a6b525b16aedf5aa0de657ba637b39
        """,
      output: """
        42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c
        7d8f6a5aac84aa051ba30b396a0aac973d58e091
        """,
      tag: "5bc94fbc3221a5db94fae95ae7121a47"),
    KnownAnswer(
      .aead(.gcm),
      from: "McGrew and Viega, The Galois/Counter Mode of Operation, test case 6, Y0 as J0",
      key: "feffe9928665731c6d6a8f9467308308",
      iv: "3bab75780a31c059f83d2a44752f9864",
      aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      input: """
        d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953
        2fcf0e2449a6b525b16aedf5aa0de657ba637b39
        """,
      output: """
        8ce24998625615b603a033aca13fb894be9112a5c3a211a8ba262a3cca7e2ca701e4a9a4fba43c90
        ccdcb281d48c7c6fd62875d2aca417034c34aee5
        """,
      tag: "619cc5aefffe0bfa462af43c1699d050"),
    KnownAnswer(
      .aead(.gcm), from: "McGrew and Viega, The Galois/Counter Mode of Operation, test case 10",
      key: "feffe9928665731c6d6a8f9467308308feffe9928665731c",
      iv: "cafebabefacedbaddecaf888",
      aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      input: """
        d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953
        2fcf0e2449a6b525b16aedf5aa0de657ba637b39
        """,
      output: """
        3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525
        ac619d18c84a3f4718e2448b2fe324d9ccda2710
        """,
      tag: "2519498e80f1478f37ba55bd6d27618c"),
    KnownAnswer(
      .aead(.gcm),
      from: "McGrew and Viega, The Galois/Counter Mode of Operation, test case 12, Y0 as J0",
      key: "feffe9928665731c6d6a8f9467308308feffe9928665731c",
      iv: "4505cdc367a054c5002820e96aebef27",
      aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      input: """
        d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953
        2fcf0e2449a6b525b16aedf5aa0de657ba637b39
        """,
      output: """
        d27e88681ce3243c4830165a8fdcf9ff1de9a1d8e6b447ef6ef7b79828666e4581e79012af34ddd9
        e2f037589b292db3e67c036745fa22e7e9b7373b
        """,
      tag: "dcf566ff291c25bbb8568fc3d376a6d9"),
    KnownAnswer(
      .aead(.gcm), from: "McGrew and Viega, The Galois/Counter Mode of Operation, test case 16",
      key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
      iv: "cafebabefacedbaddecaf888",
      aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      input: """
        d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953
        2fcf0e2449a6b525b16aedf5aa0de657ba637b39
        """,
      output: """
        522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3d
        a7b08b1056828838c5f61e6393ba7a0abcc9f662
        """,
      tag: "76fc6ece0f4e1768cddf8853bb2d551b"),
    KnownAnswer(
      .aead(.gcm),
      from: "McGrew and Viega, The Galois/Counter Mode of Operation, test case 18, Y0 as J0",
      key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
      iv: "0cd953e2140a5976079f8e2406bc8eb4",
      aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      input: """
        d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953
        2fcf0e2449a6b525b16aedf5aa0de657ba637b39
        """,
      output: """
        5a8def2f0c9e53f1f75d7853659e2a20eeb2b22aafde6419a058ab4f6f746bf40fc0c3b780f24445
        2da3ebf1c5d82cdea2418997200ef82e44ae7e3f
        """,
      tag: "a44a8266ee1c8eb0c8b5d4cf5ae9f19a"),
    KnownAnswer(
      .aead(.ccm), from: "NIST SP 800-38C C.1, example 1",
      key: "404142434445464748494a4b4c4d4e4f",
      iv: "10111213141516",
      aad: "0001020304050607",
      input: "20212223",
      output: "7162015b",
      tag: "4dac255d"),
    KnownAnswer(
      .aead(.ccm), from: "NIST CAVP CCM test vectors, DVPT192, count 60",
      key: "19ebfde2d5468ba0a3031bde629b11fd4094afcb205393fa",
      iv: "5a8aa485c316e9",
      input: "3796cf51b8726652a4204733b8fbb047cf00fb91a9837e22",
      output: "411986d04d6463100bff03f7d0bde7ea2c3488784378138c",
      tag: "ddc93a54"),
    KnownAnswer(
      .aead(.ccm), from: "NIST CAVP CCM test vectors, DVPT256",
      key: "26511fb51fcfa75cb4b44da75a6e5a0eb8d9c8f3b906f886df3ba3e6da3a1389",
      iv: "72a60f345a1978fb40f28a2fa4",
      input: "30d56ff2a25b83fee791110fcaea48e41db7c7f098a81000",
      output: "55f068c0bbba8b598013dd1841fd740fda2902322148ab5e",
      tag: "935753e601b79db4ae730b6ae3500731"),
    KnownAnswer(
      .aead(.chacha20Poly1305), from: "RFC 8439 §2.8.2",
      key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
      iv: "070000004041424344454647",
      aad: "50515253c0c1c2c3c4c5c6c7",
      input: """
        4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f6620273939
        3a204966204920636f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220
        746865206675747572652c2073756e73637265656e20776f756c642062652069742e
        """,
      output: """
        d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca96712
        82fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58
        fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116
        """,
      tag: "1ae10b594f09e26a7e902ecbd0600691"),
  ]
}
