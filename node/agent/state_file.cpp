#include "node/agent/state_file.h"

#include "base/files.h"
#include "node/agent/receiver.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"
#include "proto/frame.h"

namespace cordon::node {
namespace {

constexpr std::uint64_t kSequence = 1;
/// More than the most entries that the receiver takes need (some 26 bytes a grant).
constexpr std::size_t kMostStateBytes = std::size_t{512} << 20;

/// The file's bytes: frames, as the wire has them.
class StateFrames {
 public:
  Result<> endpoints(const std::vector<Endpoint>& ends) {
    for (const Endpoint& end : ends) {
      auto& peer = *message_.mutable_endpoints()->add_peers();
      peer.set_device("peer");  // the wire wants a name
      wire::encode_endpoint(end, peer.mutable_endpoint());
    }
    return frame();
  }
  Result<> begin(Revision revision) {
    message_.mutable_begin()->set_sequence(kSequence);
    message_.mutable_begin()->set_revision(revision.value);
    CORDON_TRY(frame());
    message_.mutable_part()->set_sequence(kSequence);
    return {};
  }
  Result<> entry(const policy::Key& key, const policy::Value& value) {
    *message_.mutable_part()->add_entries() = wire::encode_entry(key, &value);
    if (static_cast<std::size_t>(message_.part().entries_size()) < wire::kPartEntries) return {};
    CORDON_TRY(frame());
    message_.mutable_part()->clear_entries();
    return {};
  }
  Result<> end(const Sha256& digest) {
    CORDON_TRY(frame());
    message_.mutable_end()->set_sequence(kSequence);
    message_.mutable_end()->set_digest(digest.data(), digest.size());
    return frame();
  }
  const std::string& bytes() const { return bytes_; }

 private:
  Result<> frame() {
    CORDON_ASSIGN(const auto framed, wire::frame(message_.SerializeAsString()));
    bytes_ += framed;
    return {};
  }

  wire::ToNode message_;
  std::string bytes_;
};

Result<std::optional<WholeState>> feed(Receiver& receiver, const wire::ToNode& message) {
  switch (message.body_case()) {
    case wire::ToNode::kBegin:
      CORDON_TRY(receiver.begin(message.begin()));
      return std::nullopt;
    case wire::ToNode::kPart:
      CORDON_TRY(receiver.part(message.part()));
      return std::nullopt;
    case wire::ToNode::kEnd:
      return receiver.end(message.end());
    default:
      return fail(ErrorCode::invalid, "an unexpected message");
  }
}

Result<SavedState> parse_saved(std::string_view content) {
  wire::FrameReader frames;
  frames.feed(content);
  Receiver receiver;
  std::vector<Endpoint> ends;
  for (;;) {
    CORDON_ASSIGN(const auto bytes, frames.next());
    if (!bytes) return fail(ErrorCode::invalid, "it ends too early");
    CORDON_ASSIGN(const auto message, wire::decode_to_node(*bytes));
    if (message.has_endpoints()) {
      for (const auto& peer : message.endpoints().peers()) {
        CORDON_ASSIGN(ends.emplace_back(), wire::decode_endpoint(peer.endpoint()));
      }
      continue;
    }
    CORDON_ASSIGN(auto whole, feed(receiver, message));
    if (whole)
      return SavedState{
          .revision = whole->revision, .state = std::move(whole->state), .ends = std::move(ends)};
  }
}

}  // namespace

Result<> save_state(const std::filesystem::path& file, const SavedState& saved) {
  StateFrames frames;
  if (!saved.ends.empty()) CORDON_TRY(frames.endpoints(saved.ends));
  CORDON_TRY(frames.begin(saved.revision));
  for (const auto& [key, value] : saved.state.entries) CORDON_TRY(frames.entry(key, value));
  CORDON_TRY(frames.end(policy::digest(saved.state).value()));
  return write_file(file, frames.bytes(), 0600);
}

Result<> save_state(const std::filesystem::path& file, Revision revision, const Sha256& digest,
                    const StateCopy& copy) {
  StateFrames frames;
  CORDON_TRY(frames.begin(revision));
  CORDON_TRY(copy.for_each(
      [&](const policy::Key& key, const policy::Value& value) { return frames.entry(key, value); }));
  CORDON_TRY(frames.end(digest));
  return write_file(file, frames.bytes(), 0600);
}

Result<std::optional<SavedState>> load_state(const std::filesystem::path& file) {
  std::error_code ec;
  if (!std::filesystem::exists(file, ec) && !ec) return std::nullopt;
  CORDON_ASSIGN(const auto content, read_file(file, kMostStateBytes));
  auto saved = parse_saved(content);
  if (!saved) return std::unexpected(in_context(saved.error(), "reading " + file.string()));
  return std::move(*saved);
}

}  // namespace cordon::node
