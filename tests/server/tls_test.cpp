// TLS: a certificate made on the spot, a client of OpenSSL's own.
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdio>
#include <tuple>

#include "tests/server/server_fixture.h"
#include "tests/temporary_folder.h"

namespace godwit::server {
namespace {

// Writes a key and a certificate for it into a folder, as NAME.key and NAME.pem.
void make_certificate(const TemporaryFolder& folder, const std::string& file_name) {
  const std::string base = folder / file_name;
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_sign(certificate, key, EVP_sha256());
  std::FILE* file = std::fopen((base + ".key").c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  file = std::fopen((base + ".pem").c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

class TlsClient {
 public:
  TlsClient(int port, int most_version) : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_max_proto_version(context_, most_version);
    SSL_CTX_set_security_level(context_, 0);
    bio_ = BIO_new_ssl_connect(context_);
    BIO_set_conn_hostname(bio_, ("127.0.0.1:" + std::to_string(port)).c_str());
    connected_ = BIO_do_connect(bio_) == 1;
  }
  ~TlsClient() {
    BIO_free_all(bio_);
    SSL_CTX_free(context_);
  }
  bool connected() const { return connected_; }
  // The reply up to `end`.
  std::string ask(const std::string& request, const std::string& end) {
    BIO_write(bio_, request.data(), static_cast<int>(request.size()));
    std::string reply;
    char bytes[4096];
    while (reply.find(end) == std::string::npos) {
      const int n = BIO_read(bio_, bytes, sizeof bytes);
      if (n <= 0) break;
      reply.append(bytes, static_cast<size_t>(n));
    }
    return reply;
  }

 private:
  SSL_CTX* context_;
  BIO* bio_ = nullptr;
  bool connected_ = false;
};

TEST(Tls, ServesAndRefusesOldVersions) {
  ServerOptions options;
  const TemporaryFolder folder;
  make_certificate(folder, "server");
  options.tls_certificate = folder / "server.pem";
  options.tls_key = folder / "server.key";
  options.header_timeout = std::chrono::milliseconds(300);
  RunningServer server(options, {{"POST", "/echo", [](const HttpRequest& request) {
                                    HttpReply reply;
                                    reply.body = request.body;
                                    return reply;
                                  }}});
  EXPECT_EQ(server.address().substr(0, 8), "https://");
  TlsClient client(server.port(), TLS1_3_VERSION);
  ASSERT_TRUE(client.connected());
  const std::string body(200000, 'x');
  for (int i = 0; i < 2; ++i) {
    const std::string reply = client.ask(
        "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 200003\r\n\r\n" + body + "end",
        "xend");
    EXPECT_EQ(reply.substr(0, 15), "HTTP/1.1 200 OK");
    EXPECT_EQ(reply.size() - reply.find("\r\n\r\n") - 4, 200003u);
  }
  EXPECT_FALSE(TlsClient(server.port(), TLS1_1_VERSION).connected());
  // Who speaks plainly, or says nothing, is let go.
  Client plain(server.port()), silent(server.port());
  plain.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
  EXPECT_TRUE(plain.closes());
  EXPECT_TRUE(silent.closes());
  EXPECT_TRUE(TlsClient(server.port(), TLS1_2_VERSION).connected());
}

TEST(Tls, AKeyOfAnotherCertificateIsRefused) {
  const TemporaryFolder folder;
  make_certificate(folder, "server");
  make_certificate(folder, "other");
  ServerOptions options;
  options.port = 0;
  options.tls_certificate = folder / "server.pem";
  options.tls_key = folder / "other.key";
  const auto server = Server::bind(options, {});
  ASSERT_FALSE(server);
  EXPECT_NE(server.error().message.find(options.tls_key), std::string::npos);
}

}  // namespace
}  // namespace godwit::server
