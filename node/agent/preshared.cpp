#include "node/agent/preshared.h"

#include <algorithm>
#include <sstream>

#include "base/files.h"
#include "node/agent/identity.h"
#include "proto/cordon.pb.h"

namespace cordon::node {
namespace {

// file = { own SP peer SP key LF }, each 32 bytes as base64.

Result<WireguardKey> preshared_part(std::string_view bytes) {
  WireguardKey key{};
  if (bytes.size() != key.size()) return fail(ErrorCode::invalid, "a key of a wrong length");
  std::ranges::copy(as_bytes(bytes), key.begin());
  return key;
}

Result<WireguardKey> preshared_text(const std::string& text) {
  CORDON_ASSIGN(const auto bytes, from_base64(text));
  return preshared_part(as_text(bytes));
}

}  // namespace

Result<PresharedKeys> PresharedKeys::open(std::filesystem::path file) {
  PresharedKeys out(std::move(file));
  std::error_code ec;
  if (!std::filesystem::exists(out.file_, ec) && !ec) return out;
  CORDON_ASSIGN(auto text, read_secret_file(out.file_, kMaxFileBytes));
  std::istringstream lines(text);
  for (std::string own, peer, key; lines >> own >> peer >> key;) {
    const auto a = preshared_text(own), b = preshared_text(peer), c = preshared_text(key);
    if (!a || !b || !c) {
      return fail(ErrorCode::invalid, out.file_.string() + " is damaged",
                  "remove it: the controller gives the keys again");
    }
    out.keys_[*a][*b] = *c;
  }
  return out;
}

Result<bool> PresharedKeys::take(const wire::PresharedKeys& message, const std::set<WireguardKey>& own) {
  bool changed = std::erase_if(keys_, [&](const auto& entry) { return !own.contains(entry.first); }) > 0;
  bool added = false;
  for (const auto& pair : message.keys()) {
    CORDON_ASSIGN(const WireguardKey mine, preshared_part(pair.own()));
    CORDON_ASSIGN(const WireguardKey peer, preshared_part(pair.peer()));
    CORDON_ASSIGN(const WireguardKey key, preshared_part(pair.key()));
    if (!own.contains(mine)) continue;
    WireguardKey& held = keys_[mine][peer];
    added = added || held != key;
    held = key;
  }
  if (added || changed) CORDON_TRY(save());
  return added;
}

const PresharedByPeer& PresharedKeys::of(const WireguardKey& own) const {
  static const PresharedByPeer kNone;
  const auto found = keys_.find(own);
  return found == keys_.end() ? kNone : found->second;
}

Result<> PresharedKeys::save() const {
  std::string text;
  for (const auto& [own, peers] : keys_)
    for (const auto& [peer, key] : peers)
      text += to_base64(own) + ' ' + to_base64(peer) + ' ' + to_base64(key) + '\n';
  return write_file(file_, text, 0600);
}

}  // namespace cordon::node
