#include "node/link/head.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/crypto.h"
#include "base/files.h"
#include "proto/cordon.pb.h"
#include "proto/receipt.h"

namespace cordon::node {
namespace {

constexpr std::size_t kRecentHeads = 64;
constexpr std::size_t kMaxFile = 4096;

std::optional<Sha256> to_hash(ByteView bytes) {
  Sha256 hash{};
  if (bytes.size() != hash.size()) return std::nullopt;
  std::ranges::copy(bytes, hash.begin());
  return hash;
}

std::optional<Head> parse_head(const std::string& text) {
  boost::system::error_code ec;
  const auto json = boost::json::parse(text, ec);
  const auto* object = ec ? nullptr : json.if_object();
  const auto* revision = object ? object->if_contains("revision") : nullptr;
  const auto* hash = object ? object->if_contains("hash") : nullptr;
  if (!revision || !hash || !hash->is_string()) return std::nullopt;
  const auto number = revision->to_number<std::uint64_t>(ec);
  const auto bytes = from_hex(std::string(hash->get_string()));
  const auto value = bytes ? to_hash(*bytes) : std::nullopt;
  if (ec || !value) return std::nullopt;
  return Head{.revision = Revision{number}, .hash = *value};
}

std::string render(const Head& head) {
  boost::json::object object;
  object["revision"] = head.revision.value;
  object["hash"] = to_hex(head.hash);
  return boost::json::serialize(object) + "\n";
}

}  // namespace

Result<HeadMemory> HeadMemory::open(const std::filesystem::path& file) {
  HeadMemory memory(file);
  std::error_code ec;
  if (!std::filesystem::exists(file, ec)) {
    if (ec) return fail_errno("can't look at " + file.string(), ec.value());
    return memory;
  }
  CORDON_ASSIGN(const auto text, read_file(file, kMaxFile));
  memory.seen_ = parse_head(text);
  if (!memory.seen_)
    return fail(ErrorCode::invalid, file.string() + " is damaged",
                "restore it; removing it makes this node believe whatever log it is shown next");
  return memory;
}

Result<> HeadMemory::check_signature(const wire::SignedHead& head, const Head& content,
                                     std::string_view roots_pem, std::string_view domain, Timestamp now) {
  if (signer_pem_ != head.signer_pem() || now < signer_.not_before || now >= signer_.not_after) {
    signer_pem_.clear();
    CORDON_ASSIGN(signer_, wire::verify_signer(head.signer_pem(), roots_pem, now));
    if (!signer_.name.starts_with(fmt::format("spiffe://{}/controller/", domain))) {
      return fail(ErrorCode::forbidden,
                  fmt::format("the log's head is signed by {}, which is not a controller of {}", signer_.name,
                              domain));
    }
    signer_pem_ = head.signer_pem();
  }
  if (!crypto::verify(signer_.public_key_der, wire::head_text(content.revision, content.hash),
                      as_bytes(head.signature())))
    return fail(ErrorCode::unauthorized, "the log's head is not signed by the controller it names");
  return {};
}

Result<> HeadMemory::check_history(const Head& head) const {
  if (!seen_ || head.revision > seen_->revision) return {};
  constexpr auto kMend =
      "compare `cordon audit verify` on the controller with an older export; after a wanted restore, remove "
      "seen_head.json from this node's state directory and restart it";
  if (head.revision == seen_->revision) {
    if (head.hash == seen_->hash) return {};
    return fail(
        ErrorCode::conflict,
        fmt::format("log rewritten: revision {} has another history than this node saw", head.revision.value),
        kMend);
  }
  const auto known = recent_.find(head.revision);
  if (known != recent_.end() && known->second == head.hash) return {};
  return fail(ErrorCode::conflict,
              fmt::format("log rewritten: it ends at revision {}, this node saw revision {}",
                          head.revision.value, seen_->revision.value),
              kMend);
}

Result<Head> HeadMemory::accept(const wire::SignedHead& head, std::string_view roots_pem,
                                std::string_view domain, Timestamp now) {
  const auto hash = to_hash(as_bytes(head.hash()));
  if (!hash) return fail(ErrorCode::protocol, "the log's head has no hash of 32 bytes");
  const Head content{.revision = Revision{head.revision()}, .hash = *hash};
  CORDON_TRY(check_signature(head, content, roots_pem, domain, now));
  CORDON_TRY(check_history(content));
  if (!seen_ || content.revision > seen_->revision) {
    seen_ = content;
    unsaved_ = true;
  }
  recent_.insert_or_assign(content.revision, content.hash);
  if (recent_.size() > kRecentHeads) recent_.erase(recent_.begin());
  return content;
}

Result<> HeadMemory::save() {
  if (!unsaved_) return {};
  CORDON_TRY(write_file(file_, render(*seen_), 0600));
  unsaved_ = false;
  return {};
}

}  // namespace cordon::node
