// Keys in parts: the same RSA and ECDSA keys as in the encoded answers, and what only comes in parts.

import CryptoTypes

extension AsymmetricKnownAnswer {
  static let inParts: [AsymmetricKnownAnswer] = [
    AsymmetricKnownAnswer(
      algorithm: .rsa, operation: .verify,
      origin: abcOrigin,
      digest: .sha256, parts: [modulus, publicExponent], input: signature, extra: "616263",
      output: ""),
    AsymmetricKnownAnswer(
      algorithm: .rsa, operation: .sign,
      origin: abcOrigin,
      digest: .sha256, parts: [modulus, "", privateExponent], resultByteCounts: [256],
      input: "616263", output: signature),
    AsymmetricKnownAnswer(
      algorithm: .rsa, operation: .decrypt, origin: "Wycheproof, rsa_pkcs1_2048, 4",
      parts: ["", "", "", prime1, prime2, exponent1, exponent2, coefficient], representation: 1,
      input: paddedCiphertext, output: text),
    AsymmetricKnownAnswer(
      algorithm: .ecdsa, operation: .verify, origin: "RFC 6979 A.2.5, SHA-256 of \"sample\"",
      digest: .sha256, parts: p256 + ["", ecdsaX, ecdsaY], resultByteCounts: [32, 32],
      input: ecdsaPair, extra: sample, output: ""),
    AsymmetricKnownAnswer(
      algorithm: .ecdsa, operation: .sign, origin: "RFC 6979 A.2.5, SHA-256 of \"sample\"",
      digest: .sha256, parts: p256 + [ecdsaScalar], resultByteCounts: [32, 32], input: sample,
      output: nil),
    AsymmetricKnownAnswer(
      algorithm: .dsa, operation: .verify, origin: "RFC 6979 A.2.1, SHA-256 of \"sample\"",
      digest: .sha256, parts: dsaGroup + ["", dsaPublicKey], resultByteCounts: [20, 20],
      input: dsaPair, extra: sample, output: ""),
    AsymmetricKnownAnswer(
      algorithm: .dsa, operation: .sign, origin: "RFC 6979 A.2.1, SHA-256 of \"sample\"",
      digest: .sha256, parts: dsaGroup + [dsaPrivateKey], resultByteCounts: [20, 20],
      input: sample, output: nil),
    AsymmetricKnownAnswer(
      algorithm: .dh, operation: .computeSecret,
      origin: "the group of RFC 7919 A.1, by the secret's definition",
      parts: [ffdhe2048, "02", dhPrivateKey, dhPublicKey], resultByteCounts: [256], input: "",
      output: dhSecret),
    AsymmetricKnownAnswer(
      algorithm: .ecdh, operation: .computeSecret, origin: "Wycheproof, ecdh_secp256r1_ecpoint, 1",
      parts: p256 + [ecdhScalar, ecdhX, ecdhY], resultByteCounts: [32], input: "",
      output: ecdhSecret),
  ]

  private static let abcOrigin = "Wycheproof's key, SHA-256 of \"abc\" (FIPS 180-4)"
  private static let sample = "73616d706c65"
  private static let p256 = [generatorX, generatorY, order, prime, a, b, "01"]
  private static let dsaGroup = [dsaP, dsaQ, dsaG]
  private static let generatorX = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
  private static let generatorY = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
  private static let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
  private static let prime = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
  private static let a = "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc"
  private static let b = "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"
  private static let ecdsaX = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
  private static let ecdsaY = "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
  private static let ecdsaScalar =
    "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
  private static let ecdsaPair =
    """
    efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e9
    00dbb9aff4064dc4ab2f843acda8
    """
  private static let ecdhScalar = "0612465c89a023ab17855b0a6bcebfd3febb53aef84138647b5352e02c10c346"
  private static let ecdhX = "62d5bd3372af75fe85a040715d0f502428e07046868b0bfdfa61d731afe44f26"
  private static let ecdhY = "ac333a93a9e70a81cd5a95b5bf8d13990eb741c8c38872b4a07d275a014e30cf"
  private static let ecdhSecret = "53020d908b0219328b658b525f26780e3ae12bcd952bb25a93bc0895e1714285"
  private static let dsaP =
    """
    86f5ca03dcfeb225063ff830a0c769b9dd9d6153ad91d7ce27f787c43278b447e6533b86b18bed6e8a48b784a14c252c5be0
    dbf60b86d6385bd2f12fb763ed8873abfd3f5ba2e0a8c0a59082eac056935e529daf7c610467899c77adedfc846c881870b7
    b19b2b58f9be0521a17002e3bdd6b86685ee90b3d9a1b02b782b1779
    """
  private static let dsaQ = "996f967f6c8e388d9e28d01e205fba957a5698b1"
  private static let dsaG =
    """
    07b0f92546150b62514bb771e2a0c0ce387f03bda6c56b505209ff25fd3c133d89bbcd97e904e09114d9a7defdeadfc9078e
    a544d2e401aeecc40bb9fbbf78fd87995a10a1c27cb7789b594ba7efb5c4326a9fe59a070e136db77175464adca417be5dce
    2f40d10a46a3a3943f26ab7fd9c0398ff8c76ee0a56826a8a88f1dbd
    """
  private static let dsaPrivateKey = "411602cb19a6ccc34494d79d98ef1e7ed5af25f7"
  private static let dsaPublicKey =
    """
    5df5e01ded31d0297e274e1691c192fe5868fef9e19a84776454b100cf16f65392195a38b90523e2542ee61871c0440cb87c
    322fc4b4d2ec5e1e7ec766e1be8d4ce935437dc11c3c8fd426338933ebfe739cb3465f4d3668c5e473508253b1e682f65cbd
    c4fae93c2ea212390e54905a86e2223170b44eaa7da5dd9ffcfb7f3b
    """
  private static let dsaPair =
    "81f2f5850be5bc123c43f71a3033e9384611c5454cdd914b65eb6c66a8aaad27299bee6b035f5e89"
  private static let ffdhe2048 =
    """
    ffffffffffffffffadf85458a2bb4a9aafdc5620273d3cf1d8b9c583ce2d3695a9e13641146433fbcc939dce249b3ef97d2f
    e363630c75d8f681b202aec4617ad3df1ed5d5fd65612433f51f5f066ed0856365553ded1af3b557135e7f57c935984f0c70
    e0e68b77e2a689daf3efe8721df158a136ade73530acca4f483a797abc0ab182b324fb61d108a94bb2c8e3fbb96adab760d7
    f4681d4f42a3de394df4ae56ede76372bb190b07a7c8ee0a6d709e02fce1cdf7e2ecc03404cd28342f619172fe9ce98583ff
    8e4f1232eef28183c3fe3b1b4c6fad733bb5fcbc2ec22005c58ef1837d1683b2c6f34a26c1b2effa886b423861285c97ffff
    ffffffffffff
    """
  private static let dhPrivateKey =
    """
    2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a48812d711642b726b04401627ca9fbac32f5c853
    0fb1903cc4db02258717921a48812d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a48812d711642
    b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a48812d711642b726b04401627ca9fbac32f5c8530fb1903c
    c4db02258717921a48812d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a48812d711642b726b044
    01627ca9fbac32f5c8530fb1903cc4db02258717921a4881
    """
  private static let dhPublicKey =
    """
    34481c0a1da638e25eefd87b6d3196e5e5a35c2644478916cf9c371015f2b73238b04c48be0037450c3a6de70da7fc36aa59
    1d9840a36ee47d60bc5e00ea2084f37a259cc817138dfcca88751a346d9bbbb1a943e9bfb6cc79e63d52f2119891154e85c5
    e4fc3c29440774f03d36ed2233f33135e3c876f31a5bbfa6418408ce1faded780439f4a804f04fa6a9d944cf7afbcc1c03ca
    67568f05981e151a5ea6d995989b9a39af8da05d428eeb8a86aed440f6a49be6c02ac25acd9f2f32b908c9d989581ab042f8
    92a055aa24e592250bf5643ba6f865b8e44b78eda71d3379b50e4a19846d676c7feae10389c39fb99d004e82b59c2e2b3332
    9b9805332057
    """
  private static let dhSecret =
    """
    d97a26655eb7d8b7a92cb2201ffbc1d05bfebc12f64e6c0135819c66dad6d8f350b3cc758cd5e2d5808f69284920712db58c
    91bf9753e87a8f350f68e900107a5461ecc6d0a1e32b699b063fc77d06bc174c31cd94733e929eded4cd4b07a8c369b9f98e
    df9170ce592999d68ee8ec2a466261ff3ccc8e2d6a6789c43317b7a3fd04a5bdc5af85fd9248457d7bdcf8214b9dc451e6f7
    3f9fdf8f38205b3422ef8370ec11a68972b7198c7fce27cb56fd3dcb5f808738584df11cc8fec37028f30d3c9a7cca9257e4
    2672eb0fe333c2739b4cfb44ef20622428dd7a5b888880080920cba1cb328bb21ea0393afaf5bfb07aac73d7cdcfc00efc1a
    805b5874a769
    """
  private static let modulus =
    """
    b3510a2bcd4ce644c5b594ae5059e12b2f054b658d5da5959a2fdf1871b808bc3df3e628d2792e51aad5c124b43bda453dca
    5cde4bcf28e7bd4effba0cb4b742bbb6d5a013cb63d1aa3a89e02627ef5398b52c0cfd97d208abeb8d7c9bce0bbeb019a86d
    db589beb29a5b74bf861075c677c81d430f030c265247af9d3c9140ccb65309d07e0adc1efd15cf17e7b055d7da3868e4648
    cc3a180f0ee7f8e1e7b18098a3391b4ce7161e98d57af8a947e201a463e2d6bbca8059e5706e9dfed8f4856465ffa712ed1a
    a18e888d12dc6aa09ce95ecfca83cc5b0b15db09c8647f5d524c0f2e7620a3416b9623cadc0f097af573261c98c8400aa12a
    f38e43cad84d
    """
  private static let publicExponent = "010001"
  private static let privateExponent =
    """
    1a502d0eea6c7b69e21d5839101f705456ed0ef852fb47fe21071f54c5f33c8ceb066c62d727e32d26c58137329f89d31953
    25b795264c195d85472f7507dbd0961d2951f935a26b34f0ac24d15490e1128a9b7138915bc7dbfa8fe396357131c543ae9c
    98507368d9ceb08c1c6198a3eda7aea185a0e976cd42c22d00f003d9f19d96ea4c9afcbfe1441ccc802cfb0689f59d804c6a
    4e4f404c15174745ed6cb8bc88ef0b33ba0d2a80e35e43bc90f350052e72016e75b00d357a381c9c0d467069ca660887c987
    766349fcc43460b4aa516bce079edd87ba164307b752c277ed9528ad3ba0bf1877349ed3b7966a6c240110409bf4d0fade0c
    68fdadd847fd
    """
  private static let prime1 =
    """
    ec125cf37e310a2ff46263b9b2e0629d6390005ec88913d4fb71bd4dd856124498aaeba983d7ba2bd942e64d223feb7a23af
    4d605efeea6bd70d39afe99d35a3aa15e74a1768778093be0edd4a8d09b2def6dc9b67ff85764625c2e19236db4c401ce30a
    2572d3ecb4f969b7ad19c522c02d774465676e1a3776c54d6248348b
    """
  private static let prime2 =
    """
    c2742abcd9897bd4b0b671f973fc82a8f84abf5705ff88dd41948623afe9dca60dc6543390767feaebeb539576ee8bfa61b5
    fcbca94a7cef75a09150c540fa9694dd8004ad23718c889049219369c99f4458d4afc148f6f07df87324a96d9cf7b385dd86
    22414a1832f9f29446f050c2d5a6407649dc41ab70e23b3dcc22c987
    """
  private static let exponent1 =
    """
    96a9798d250263400bb6277342881627e07cecdf91187b01b89ff47314188a7c20fb24800156d2c85d5666e8df6ceff9f980
    4ddfad80ff5767de56ecc029c72bf6c717df9f64daafc29acf9dc7908f9a0ad67e20e8949936ccba18d021a2c4febb04349a
    2b2047c4901385b6e5d0c691d118b33f81802b32ac272ef09e42fad5
    """
  private static let exponent2 =
    """
    0554f41b0b87f68a45722b3be0cf4ab1e165034c1a91002ab8f29e9ef9e2dab6fee7b2455bafb42037e9d2f7e533f348a147
    412fd72080be7c2633f5d802c91c39e6bcece3e675e59995033c55737020dad9e8b30d04b828adfb9304ad54a11a35a4f507
    09876ac5b118236ba76a4d7c9a291dd9607b169de1d182385691999f
    """
  private static let coefficient =
    """
    1c640189d9bfe8c623833210a76c420c6f44e5d760e259916cec2ae2b156456960fd95e2747660c389562250f055049cfab7
    e5c3039549384a7a2aaeb1c824d3af709482a8cf9b587022a00b1f0722db50f33cb26dc20dd2245d5265df61ee2983c938c2
    167dcee121fc4b4479c237e728cf633ab60a8c0ecd04fce7e3baa559
    """
}
