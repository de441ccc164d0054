package import CryptoTypes

/// One published answer of a public-key operation, in hexadecimal; white space does not count.
package struct AsymmetricKnownAnswer: Sendable {
  package var algorithm: AsymmetricAlgorithm
  package var operation: AsymmetricOperation
  /// The publication and the place in it.
  package var origin: String
  package var padding: RSAPadding = .pkcs1
  package var digest: SignatureDigest = .none
  package var keyForm: AsymmetricKeyForm
  package var key: String
  /// Plaintext, ciphertext, digest, or (`verify`) signature.
  package var input: String
  /// `verify`: what was signed.
  package var extra = ""
  /// The result; nil where it is drawn at random: then the answer that follows checks it.
  package var output: String?

  /// RSA in both directions with both kinds of key, and ECDSA.
  package static let all: [AsymmetricKnownAnswer] = [
    AsymmetricKnownAnswer(
      algorithm: .rsa, operation: .encrypt, origin: "the number 0x313233343030, by its definition",
      padding: .raw, keyForm: .encodedPublic, key: rsaPublicKey, input: text, output: rawCiphertext),
    AsymmetricKnownAnswer(
      algorithm: .rsa, operation: .decrypt, origin: "the number 0x313233343030, by its definition",
      padding: .raw, keyForm: .encodedPrivate, key: rsaPrivateKey, input: rawCiphertext,
      output: String(repeating: "00", count: 250) + text),
    AsymmetricKnownAnswer(
      algorithm: .rsa, operation: .decrypt, origin: "Wycheproof, rsa_pkcs1_2048, 4",
      keyForm: .encodedPrivate, key: rsaPrivateKey, input: paddedCiphertext, output: text),
    AsymmetricKnownAnswer(
      algorithm: .rsa, operation: .sign,
      origin: "Wycheproof's key, SHA-256 of \"abc\" (FIPS 180-4)",
      digest: .sha256, keyForm: .encodedPrivate, key: rsaPrivateKey, input: digest,
      output: signature),
    AsymmetricKnownAnswer(
      algorithm: .rsa, operation: .verify,
      origin: "Wycheproof's key, SHA-256 of \"abc\" (FIPS 180-4)", digest: .sha256,
      keyForm: .encodedPublic, key: rsaPublicKey, input: signature, extra: digest, output: ""),
    AsymmetricKnownAnswer(
      algorithm: .ecdsa, operation: .verify, origin: "RFC 6979 A.2.5, SHA-256 of \"sample\"",
      keyForm: .encodedPublic, key: ecdsaPublicKey, input: ecdsaSignature, extra: ecdsaDigest,
      output: ""),
    AsymmetricKnownAnswer(
      algorithm: .ecdsa, operation: .sign, origin: "RFC 6979 A.2.5, SHA-256 of \"sample\"",
      keyForm: .encodedPrivate, key: ecdsaPrivateKey, input: ecdsaDigest, output: nil),
  ]

  private static let text = "313233343030"
  private static let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
  private static let ecdsaDigest =
    "af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf"
  private static let ecdsaPublicKey =
    """
    0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2
    f1b20c2d7e9f5177a3c294d4462299
    """
  private static let ecdsaPrivateKey =
    """
    30310201010420c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721a00a06082a8648ce3d0301
    07
    """
  private static let ecdsaSignature =
    """
    3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022100f7cb1c942d657c41d436
    c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8
    """
  private static let rsaPublicKey =
    """
    3082010a0282010100b3510a2bcd4ce644c5b594ae5059e12b2f054b658d5da5959a2fdf1871b808bc3df3e628d2792e51aa
    d5c124b43bda453dca5cde4bcf28e7bd4effba0cb4b742bbb6d5a013cb63d1aa3a89e02627ef5398b52c0cfd97d208abeb8d
    7c9bce0bbeb019a86ddb589beb29a5b74bf861075c677c81d430f030c265247af9d3c9140ccb65309d07e0adc1efd15cf17e
    7b055d7da3868e4648cc3a180f0ee7f8e1e7b18098a3391b4ce7161e98d57af8a947e201a463e2d6bbca8059e5706e9dfed8
    f4856465ffa712ed1aa18e888d12dc6aa09ce95ecfca83cc5b0b15db09c8647f5d524c0f2e7620a3416b9623cadc0f097af5
    73261c98c8400aa12af38e43cad84d0203010001
    """
  private static let rsaPrivateKey =
    """
    308204a30201000282010100b3510a2bcd4ce644c5b594ae5059e12b2f054b658d5da5959a2fdf1871b808bc3df3e628d279
    2e51aad5c124b43bda453dca5cde4bcf28e7bd4effba0cb4b742bbb6d5a013cb63d1aa3a89e02627ef5398b52c0cfd97d208
    abeb8d7c9bce0bbeb019a86ddb589beb29a5b74bf861075c677c81d430f030c265247af9d3c9140ccb65309d07e0adc1efd1
    5cf17e7b055d7da3868e4648cc3a180f0ee7f8e1e7b18098a3391b4ce7161e98d57af8a947e201a463e2d6bbca8059e5706e
    9dfed8f4856465ffa712ed1aa18e888d12dc6aa09ce95ecfca83cc5b0b15db09c8647f5d524c0f2e7620a3416b9623cadc0f
    097af573261c98c8400aa12af38e43cad84d0203010001028201001a502d0eea6c7b69e21d5839101f705456ed0ef852fb47
    fe21071f54c5f33c8ceb066c62d727e32d26c58137329f89d3195325b795264c195d85472f7507dbd0961d2951f935a26b34
    f0ac24d15490e1128a9b7138915bc7dbfa8fe396357131c543ae9c98507368d9ceb08c1c6198a3eda7aea185a0e976cd42c2
    2d00f003d9f19d96ea4c9afcbfe1441ccc802cfb0689f59d804c6a4e4f404c15174745ed6cb8bc88ef0b33ba0d2a80e35e43
    bc90f350052e72016e75b00d357a381c9c0d467069ca660887c987766349fcc43460b4aa516bce079edd87ba164307b752c2
    77ed9528ad3ba0bf1877349ed3b7966a6c240110409bf4d0fade0c68fdadd847fd02818100ec125cf37e310a2ff46263b9b2
    e0629d6390005ec88913d4fb71bd4dd856124498aaeba983d7ba2bd942e64d223feb7a23af4d605efeea6bd70d39afe99d35
    a3aa15e74a1768778093be0edd4a8d09b2def6dc9b67ff85764625c2e19236db4c401ce30a2572d3ecb4f969b7ad19c522c0
    2d774465676e1a3776c54d6248348b02818100c2742abcd9897bd4b0b671f973fc82a8f84abf5705ff88dd41948623afe9dc
    a60dc6543390767feaebeb539576ee8bfa61b5fcbca94a7cef75a09150c540fa9694dd8004ad23718c889049219369c99f44
    58d4afc148f6f07df87324a96d9cf7b385dd8622414a1832f9f29446f050c2d5a6407649dc41ab70e23b3dcc22c987028181
    0096a9798d250263400bb6277342881627e07cecdf91187b01b89ff47314188a7c20fb24800156d2c85d5666e8df6ceff9f9
    804ddfad80ff5767de56ecc029c72bf6c717df9f64daafc29acf9dc7908f9a0ad67e20e8949936ccba18d021a2c4febb0434
    9a2b2047c4901385b6e5d0c691d118b33f81802b32ac272ef09e42fad50281800554f41b0b87f68a45722b3be0cf4ab1e165
    034c1a91002ab8f29e9ef9e2dab6fee7b2455bafb42037e9d2f7e533f348a147412fd72080be7c2633f5d802c91c39e6bcec
    e3e675e59995033c55737020dad9e8b30d04b828adfb9304ad54a11a35a4f50709876ac5b118236ba76a4d7c9a291dd9607b
    169de1d182385691999f0281801c640189d9bfe8c623833210a76c420c6f44e5d760e259916cec2ae2b156456960fd95e274
    7660c389562250f055049cfab7e5c3039549384a7a2aaeb1c824d3af709482a8cf9b587022a00b1f0722db50f33cb26dc20d
    d2245d5265df61ee2983c938c2167dcee121fc4b4479c237e728cf633ab60a8c0ecd04fce7e3baa559
    """
  private static let rawCiphertext =
    """
    6f7a63bbb6ddd2fe0c208f4c2587a2a4336045b86af8a6599da45d679a2238efa84b258189aa2ee4c0b0b274e3ad0b64f9c1
    91f458ca38f6afabe83da06b40fd689ca7d66f8f5534a6f7c5c3d23333456d638fb029fb23c89edaccf8d62c963533476c1a
    e77d7f909ccdc3043dd7803f682c9fe1d6244a8a6256d1c0a14d8c066af11f34216f15fb5d96a6234c2c468a44f4cce5557c
    3dfc30bdda5c59c6ec3f68d08b88a69e9730d962e8f5cb517941c8c896ddab58e3914067628df01a552378684add39dcd517
    97e983e3a12250a29cf0974aece28baa5489a2179eec7228d9712ae2b878f7a55c422709bf3c178630470e6ae8a26f9fa86e
    42bfc0a063a3
    """
  private static let paddedCiphertext =
    """
    455fe8c7c59d08c068b5ff739d8dab912b639c8e9eade5d0519d58f4ead7208d5a753b4a88fe771475adc82d10ab29ded28c
    af03f9034d3a111b520440c02276e1b6417c42eec0257f1f05482868987f2f75bd33d1ec3dbc799d7b5bf25c4a0543793a4d
    3ce305cc43646bc450344e624fd381e24d8e57ef2840dd9d576da554ba408ee6580159e6d88438a28d66250b3b3fe3bc6624
    406022a9e4ee2778c38230674f635f56b9d6adcf2be6bfab34a8a431169d769876422f7077ded31fa6f29993dd1972b2d2d2
    4b0513a7a193f6a88d53c49cde2c030f85e3ddfbc9f99b4a667fd9c652382238166f3d39eb2b78de53ad24c97699fe5738a7
    a705a2ab141b
    """
  private static let signature =
    """
    92f0f4d2f1245fbce75573b1bcbb7813d7412557df4e24377d59b6a6abc06701f3681a315d453b89d2231d535ca9b607246c
    c32bb40eddf9086deadd6dc2cb29ff75a8a409386a448635a5a7300424d1524c968e6b3f447ec346d42856e88cc5660f4a50
    36b935f881cc31784e9d064c112cd57f155451dc90391aaa2042aad0ed9232c21681bca49d2f84ef3dbf9011bd3358130f90
    0f5c9e7d0885340a2b83f279988123f4175de0d7c71b41b7cd25e7198c583b55a428ddea95bc141fd2182b47cfc628b72475
    c7b9ce81f4fb57c9b06ac7ef6733bb9ceb27b736579208d7f2035d71ef3b589d97a82531a6268cb3ebbff93aab3c41ae3d78
    d6575b55af3e
    """
}
