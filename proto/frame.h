#pragma once
// Frames: 4-byte big-endian length, then that many bytes of one protobuf message.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cordon::wire {

inline constexpr std::size_t kMaxFrameBytes = 4u << 20;
inline constexpr std::string_view kAlpn = "cordon/1";

/// The frame of a serialized message; one that is too large is `exhausted`.
Result<std::string> frame(std::string_view message);

/// Collects bytes and gives whole messages. After an error it stays in error: the connection is to be closed.
class FrameReader {
 public:
  void feed(std::string_view bytes);
  /// The next whole message; nullopt: more bytes are needed; an announced length of 0 or above the limit is
  /// `protocol`.
  Result<std::optional<std::string>> next();
  std::size_t buffered() const { return buffer_.size() - taken_; }

 private:
  std::string buffer_;
  std::size_t taken_ = 0;
  bool broken_ = false;
};

}  // namespace cordon::wire
