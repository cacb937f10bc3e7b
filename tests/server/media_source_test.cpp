// Where media may come from: base64, data URLs, files under a root, public addresses.
#include "server/media_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/server/server_fixture.h"
#include "tests/temporary_folder.h"

namespace godwit::server {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(Base64, RoundTripsAndIsStrict) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(decode_base64(encode_base64(bytes)).value(), bytes);
    bytes += static_cast<char>(i * 37);
  }
  EXPECT_EQ(encode_base64("light work."), "bGlnaHQgd29yay4=");
  EXPECT_EQ(decode_base64("bGlnaHQgd29yaw==").value(), "light work");
  EXPECT_EQ(decode_base64("bGlnaHQgd29yaw").value(), "light work");  // many leave it unpadded
  EXPECT_EQ(decode_base64("bGlnaHQgd29yay4").value(), "light work.");
  EXPECT_EQ(decode_base64("").value(), "");
  EXPECT_EQ(decode_base64("bGlnaHQg\r\nd29yaw==\n").value(),
            "light work");  // wrapped, as by base64(1)
  for (const char* wrong :
       {"a", "ab", "abcde", "=aaa", "a===", "====", "ab=c", "abc=abcd", "ab c", "ab-_",
        "aaa=aaa=", "ab==\n", "aR", "aR==", "aaR=", "bGlnaHQgd29yaw=", "="})
    EXPECT_FALSE(decode_base64(wrong)) << wrong;
}

TEST(MediaSource, DataUrls) {
  const MediaSource source;
  const auto media = source.from_url("data:image/png;base64,aGVsbG8=", "image", "m[0]");
  ASSERT_TRUE(media);
  EXPECT_EQ(*(*media)->bytes, "hello");
  EXPECT_EQ((*media)->name, "m[0]");
  EXPECT_TRUE(source.from_url("DATA:video/mp4;codecs=x;base64,aGVsbG8=", "video", "m"));
  for (const char* wrong : {"data:image/png,hello", "data:image/png;base64",
                            "data:text/html;base64,aGVsbG8=", "data:image/png;base64,",
                            "data:image;base64,aGVsbG8=", "", "ftp://x", "blob:x", "/etc/passwd"})
    EXPECT_FALSE(source.from_url(wrong, "image", "m")) << wrong;
}

TEST(MediaSource, FilesOnlyUnderARoot) {
  const TemporaryFolder folder;
  const fs::path base = folder.path();
  fs::create_directories(base / "in/deep");
  fs::create_directories(base / "in2");
  const auto write = [](const fs::path& path) {
    std::ofstream(path) << "bytes of " << path.filename().string();
  };
  write(base / "in/a b.png");
  write(base / "in/deep/c.png");
  write(base / "outside.png");
  write(base / "in2/d.png");
  fs::create_symlink(base / "outside.png", base / "in/link.png");
  fs::create_symlink(base, base / "in/up");
  fs::create_symlink(base / "in/deep/c.png", base / "in/inner.png");
  const MediaSource source({(base / "in/").string()}, false);
  const auto url = [&](const std::string& path) { return "file://" + (base / path).string(); };
  EXPECT_EQ(*source.from_url(url("in/a%20b.png"), "image", "m").value()->bytes, "bytes of a b.png");
  EXPECT_TRUE(source.from_url(url("in/deep/../deep/c.png"), "image", "m"));
  EXPECT_TRUE(source.from_url(url("in/inner.png"), "image", "m"));
  const char* refused[] = {"outside.png", "in/../outside.png", "in/%2e%2e/outside.png",
                           "in/link.png", "in/up/outside.png", "in2/d.png",
                           "in",          "in/deep",           "in/missing.png"};
  std::string said;
  for (const char* path : refused) {
    const auto media = source.from_url(url(path), "image", "m");
    ASSERT_FALSE(media) << path;
    said = said.empty() ? media.error().message : said;
    EXPECT_EQ(media.error().message, said) << path;  // tells nothing of what exists
  }
  EXPECT_FALSE(MediaSource().from_url(url("in/deep/c.png"), "image", "m"));
  EXPECT_FALSE(source.from_url("file://in/deep/c.png", "image", "m"));
}

TEST(MediaSource, PublicAddresses) {
  for (const char* address : {"93.184.216.34", "8.8.8.8", "172.32.0.1", "2606:2800:220:1::1"})
    EXPECT_TRUE(is_public_address(address)) << address;
  for (const char* address : {"127.0.0.1",
                              "127.8.8.8",
                              "0.0.0.0",
                              "10.1.2.3",
                              "172.16.0.1",
                              "172.31.255.255",
                              "192.168.1.1",
                              "169.254.169.254",
                              "100.64.0.1",
                              "198.18.0.1",
                              "224.0.0.1",
                              "255.255.255.255",
                              "::1",
                              "::",
                              "fe80::1",
                              "fc00::1",
                              "fd12::1",
                              "ff02::1",
                              "::ffff:127.0.0.1",
                              "::ffff:8.8.8.8",
                              "64:ff9b::7f00:1",
                              "2002:7f00:1::",
                              "2001:db8::1",
                              "2001::1",
                              "",
                              "localhost",
                              "1.2.3"})
    EXPECT_FALSE(is_public_address(address)) << address;
}

TEST(MediaSource, FetchesWithChecks) {
  const auto text = [](const std::string& body) {
    HttpReply reply;
    reply.body = body;
    return reply;
  };
  std::vector<Route> routes = {
      {"GET", "/a.png", [&](const HttpRequest&) { return text("picture"); }},
      {"GET", "/big", [&](const HttpRequest&) { return text(std::string(5000, 'x')); }},
      {"GET", "/away",
       [&](const HttpRequest&) {
         HttpReply reply;
         reply.status = 302;
         reply.headers.emplace_back("location", "/a.png");
         return reply;
       }},
      {"GET", "/file",
       [&](const HttpRequest&) {
         HttpReply reply;
         reply.status = 302;
         reply.headers.emplace_back("location", "file:///etc/passwd");
         return reply;
       }},
      {"GET", "/loop", [&](const HttpRequest&) {
         HttpReply reply;
         reply.status = 302;
         reply.headers.emplace_back("location", "/loop");
         return reply;
       }}};
  RunningServer server({}, routes);
  const std::string base = server.address();
  const AddressCheck loopback = [](const std::string& a) { return a == "127.0.0.1"; };
  EXPECT_EQ(fetch_url(base + "/a.png", 1000, 5, loopback).value(), "picture");
  EXPECT_EQ(fetch_url(base + "/away", 1000, 5, loopback).value(), "picture");
  EXPECT_FALSE(fetch_url(base + "/file", 1000, 5, loopback));
  EXPECT_FALSE(fetch_url(base + "/loop", 1000, 5, loopback));
  EXPECT_FALSE(fetch_url(base + "/missing", 1000, 5, loopback));
  EXPECT_THAT(fetch_url(base + "/big", 1000, 5, loopback).error().message, HasSubstr("at most"));
  EXPECT_FALSE(fetch_url("file:///etc/passwd", 1000, 5, loopback));
  // The second connection of a redirect is checked as well.
  int asked = 0;
  const AddressCheck first_only = [&](const std::string&) { return ++asked == 1; };
  const std::string elsewhere = "http://localhost:" + std::to_string(server.port()) + "/a.png";
  std::vector<Route> redirect = {{"GET", "/x", [&](const HttpRequest&) {
                                    HttpReply reply;
                                    reply.status = 302;
                                    reply.headers.emplace_back("location", elsewhere);
                                    return reply;
                                  }}};
  RunningServer other({}, redirect);
  EXPECT_THAT(fetch_url(other.address() + "/x", 1000, 5, first_only).error().message,
              HasSubstr("not public"));
  const auto refused = MediaSource({}, true).from_url(base + "/a.png", "image", "m");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("not public"));
}

}  // namespace
}  // namespace godwit::server
