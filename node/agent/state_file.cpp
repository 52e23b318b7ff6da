#include "node/agent/state_file.h"

#include "base/files.h"
#include "node/agent/receiver.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"
#include "proto/frame.h"

namespace cordon::node {
namespace {

constexpr std::uint64_t kSequence = 1;

Result<> append(std::string& out, const wire::ToNode& message) {
  CORDON_ASSIGN(const auto framed, wire::frame(message.SerializeAsString()));
  out += framed;
  return {};
}

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
  std::string out;
  wire::ToNode message;
  if (!saved.ends.empty()) {
    for (const Endpoint& end : saved.ends) {
      auto& peer = *message.mutable_endpoints()->add_peers();
      peer.set_device("peer");  // the wire wants a name
      wire::encode_endpoint(end, peer.mutable_endpoint());
    }
    CORDON_TRY(append(out, message));
  }
  message.mutable_begin()->set_sequence(kSequence);
  message.mutable_begin()->set_revision(saved.revision.value);
  CORDON_TRY(append(out, message));
  message.mutable_part()->set_sequence(kSequence);
  SetDigest digest;
  for (const auto& [key, value] : saved.state.entries) {
    *message.mutable_part()->add_entries() = wire::encode_entry(key, &value);
    digest.add(policy::encode(key, value));
    if (static_cast<std::size_t>(message.part().entries_size()) < wire::kPartEntries) continue;
    CORDON_TRY(append(out, message));
    message.mutable_part()->clear_entries();
  }
  CORDON_TRY(append(out, message));
  message.mutable_end()->set_sequence(kSequence);
  message.mutable_end()->set_digest(digest.value().data(), digest.value().size());
  CORDON_TRY(append(out, message));
  return write_file(file, out, 0600);
}

Result<std::optional<SavedState>> load_state(const std::filesystem::path& file) {
  std::error_code ec;
  if (!std::filesystem::exists(file, ec) && !ec) return std::nullopt;
  CORDON_ASSIGN(const auto content, read_file(file));
  auto saved = parse_saved(content);
  if (!saved) return std::unexpected(in_context(saved.error(), "reading " + file.string()));
  return std::move(*saved);
}

}  // namespace cordon::node
