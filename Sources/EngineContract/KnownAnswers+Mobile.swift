import CryptoTypes

extension KnownAnswer {
  /// The algorithms of mobile networks: ciphers and MACs of 3GPP.
  static let mobile: [KnownAnswer] = [
    KnownAnswer(
      .cipher(.kasumiF8), from: "3GPP TS 35.203 implementors' test data for f8",
      key: "2bd6459f82c5b300952c49104881ff48",
      iv: "72a4f20f64000000",
      input: """
        10111231e060253a43fd3f57e37607ab2827b599b6b1bbda37a8abcc5a8c550d1bfb2f494624fb50
        367fa36ce3bc68f11cf93b1510376b02130f812a9fa169d8
        """,
      output: """
        bf35de337aa3b83260202f164d9aa9d0f17b6f4bfd76adf5083701d0da5d8e169c8305655bedcb56
        d2e40f2814a7ee7db9c0b29cf13db4b1f3706bb6b381f892
        """),
    KnownAnswer(
      .cipher(.snow3gUEA2), from: "ETSI SAGE UEA2 and UIA2 implementors' test data, f8",
      key: "d3c5d592327fb11c4035c6680af8c6d1",
      iv: "398a59b4ac000000398a59b4ac000000",
      input: """
        981ba6824c1bfb1ab485472029b71d808ce33e2cc3c0b5fc1f3de8a6dc66b1f0
        """,
      output: """
        5d5bfe75eb04f68ce0a12377ea00b37d47c6a0ba06309155086a859c4341b37c
        """),
    KnownAnswer(
      .cipher(.zucEEA3), from: "ETSI SAGE ZUC implementors' test data, keystream test set 3",
      key: "3d4c4be96a82fdaeb58f641db17b455b",
      iv: "84319aa8de6915ca1f6bda6bfbd8c766",
      input: "0000000000000000",
      output: "14f1c2723279c419"),
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
