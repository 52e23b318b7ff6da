#include "tests/support/api_rig.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstring>

#include "controller/identity/local_identity.h"

namespace cordon::test {

boost::json::object Answer::json() const {
  boost::json::error_code error;
  boost::json::value value = boost::json::parse(body, error);
  return value.is_object() ? value.get_object() : boost::json::object{};
}

std::string Answer::text(std::string_view member) const {
  const boost::json::object object = json();
  const boost::json::value* value = object.if_contains(member);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

Answer parse_answer(const std::string& raw) {
  Answer answer;
  const std::size_t end = raw.find("\r\n\r\n");
  if (raw.size() < 12 || end == std::string::npos) return answer;
  answer.status = static_cast<unsigned>(std::stoul(raw.substr(9, 3)));
  answer.head = raw.substr(0, end);
  std::string_view rest = std::string_view(raw).substr(end + 4);
  if (answer.head.find("chunked") == std::string::npos) {
    answer.body = rest;
    return answer;
  }
  while (!rest.empty()) {
    const std::size_t size = std::stoul(std::string(rest.substr(0, rest.find('\r'))), nullptr, 16);
    rest.remove_prefix(rest.find('\n') + 1);
    answer.body += rest.substr(0, size);
    rest.remove_prefix(std::min(size + 2, rest.size()));
    if (size == 0) break;
  }
  return answer;
}

std::string http_request(const std::string& method, const std::string& target, const std::string& body,
                         const std::string& token) {
  std::string out = method + " " + target + " HTTP/1.1\r\nHost: controller\r\nConnection: close\r\n";
  if (!token.empty()) out += "Authorization: Bearer " + token + "\r\n";
  if (!body.empty())
    out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  return out + "\r\n" + body;
}

ApiRig::ApiRig() : StrandRig({.clock = clock, .dns_names = {"localhost"}, .ip_addresses = {"127.0.0.1"}}) {
  services->distribution = &distribution;
  controller::IdentityLimits limits;
  limits.cost = {.operations = 1, .memory_bytes = 8192};
  identity = controller::make_local_identity(
      {.log = *log,
       .secrets = *secrets,
       .clock = clock,
       .count = [this](std::string_view outcome) { metrics.count("logins", outcome); },
       .post = [this](std::function<void()> work) { post(std::move(work)); }},
      limits);
  services->identity = identity.get();
  begin();
  api = on_strand([&] { return must(controller::start_api(*services)); });
}

ApiRig::~ApiRig() {
  on_strand([&] {
    api->stop();
    return 0;
  });
  identity.reset();
  halt();
  log.reset();
}

void ApiRig::add_device(const std::string& name) {
  const policy::JoinToken token{.id = TokenId("t-" + name),
                                .expires_at = clock.now() + std::chrono::hours(1),
                                .approve = true,
                                .source = must(Prefix::parse("127.0.0.0/8"))};
  add(controller::kinds::JoinTokenCreated{token});
  add(controller::kinds::DeviceEnrolled{
      .device = DeviceId(name),
      .token = token.id,
      .public_key_der = must(crypto::PrivateKey::generate()).public_key_der(),
      .wireguard_key = crypto::wireguard_public(crypto::wireguard_generate())});
}

std::string ApiRig::add_user(const std::string& name, const std::string& password) {
  std::promise<Result<std::pair<SubjectId, std::string>>> promise;
  post([&] {
    identity->add_user({name, password}, "root@local", [&](auto result) { promise.set_value(result); });
  });
  return must(promise.get_future().get()).first.value;
}

Answer ApiRig::send_raw(const std::string& bytes) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, config.admin_socket().c_str(), sizeof(address.sun_path) - 1);
  std::string raw;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    for (std::size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    char buffer[65536];
    for (ssize_t n = 0; (n = ::recv(fd, buffer, sizeof(buffer), 0)) > 0;)
      raw.append(buffer, static_cast<std::size_t>(n));
  }
  ::close(fd);
  return parse_answer(raw);
}

}  // namespace cordon::test
