#include "proto/frame.h"

#include <fmt/format.h>

#include "base/bytes.h"

namespace cordon::wire {
namespace {

constexpr std::size_t kHeaderBytes = 4;

std::size_t read_length(std::string_view header) {
  std::size_t out = 0;
  for (const std::uint8_t byte : as_bytes(header)) out = out << 8 | byte;
  return out;
}

}  // namespace

Result<std::string> frame(std::string_view message) {
  if (message.empty()) return fail(ErrorCode::internal, "a frame can't be empty");
  if (message.size() > kMaxFrameBytes) {
    return fail(ErrorCode::exhausted, fmt::format("a message of {} bytes is more than a frame's {}",
                                                  message.size(), kMaxFrameBytes));
  }
  Bytes header;
  put_u32(header, static_cast<std::uint32_t>(message.size()));
  std::string out;
  out.reserve(kHeaderBytes + message.size());
  return out.append(as_text(header)).append(message);
}

void FrameReader::feed(std::string_view bytes) {
  if (broken_) return;
  // What was taken goes before more comes, so the buffer holds one message and one read at most.
  buffer_.erase(0, taken_);
  taken_ = 0;
  buffer_.append(bytes);
}

Result<std::optional<std::string>> FrameReader::next() {
  if (broken_) return fail(ErrorCode::protocol, "the connection sent a malformed frame before");
  const std::string_view rest = std::string_view(buffer_).substr(taken_);
  if (rest.size() < kHeaderBytes) return std::nullopt;
  const std::size_t length = read_length(rest.substr(0, kHeaderBytes));
  if (length == 0 || length > kMaxFrameBytes) {
    broken_ = true;
    buffer_ = {};
    taken_ = 0;
    return fail(ErrorCode::protocol,
                fmt::format("a frame announces {} bytes, not 1 to {}", length, kMaxFrameBytes));
  }
  if (rest.size() < kHeaderBytes + length) return std::nullopt;
  taken_ += kHeaderBytes + length;
  return std::string(rest.substr(kHeaderBytes, length));
}

}  // namespace cordon::wire
