#pragma once
// The node's part in I8: it remembers the highest signed head of the change log it saw, on disk, and refuses
// a history that goes back or forks.

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "proto/signer.h"

namespace cordon::wire {
class SignedHead;
}

namespace cordon::node {

struct Head {
  Revision revision;
  Sha256 hash{};
  bool operator==(const Head&) const = default;
};

class HeadMemory {
 public:
  /// Reads what was seen; a damaged file is an error: it is never taken for "nothing seen".
  static Result<HeadMemory> open(const std::filesystem::path& file);

  const std::optional<Head>& seen() const { return seen_; }

  /// A new session begins: from here on a head below the highest is refused even if it was right once.
  void begin_session() { recent_.clear(); }

  /// Checks the signature (the signer is a controller of `domain` and leads to `roots_pem`) and the history,
  /// and remembers a head above the highest. `conflict`: the log was rewritten; `unauthorized` or
  /// `forbidden`: the signature. After an error, nothing that came with that head is to be believed.
  Result<Head> accept(const wire::SignedHead& head, std::string_view roots_pem, std::string_view domain,
                      Timestamp now);

  /// Writes the highest head to disk when it moved since. Apart from `accept`, so that a cut doesn't wait for
  /// a disk.
  Result<> save();

 private:
  explicit HeadMemory(std::filesystem::path file) : file_(std::move(file)) {}
  Result<> check_signature(const wire::SignedHead& head, const Head& content, std::string_view roots_pem,
                           std::string_view domain, Timestamp now);
  Result<> check_history(const Head& head) const;

  std::filesystem::path file_;
  std::optional<Head> seen_;
  bool unsaved_ = false;
  /// Heads of this session: a controller may repeat a somewhat older one it sent before (bounded).
  std::map<Revision, Sha256> recent_;
  /// The signer whose chain was checked last, so that a heartbeat costs one signature and no chain.
  std::string signer_pem_;
  wire::Signer signer_;
};

}  // namespace cordon::node
