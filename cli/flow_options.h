#pragma once
// What `flows` and `drops` are asked for, and where they get it.

#include <memory>
#include <vector>

#include "cli/context.h"

namespace cordon::cli {

struct FlowOptions {
  std::string from, to, rule, verdict, reason, since, device, kind;
  std::size_t limit = 100;
  bool follow = false, here = false;
};

/// Flows in the order they are to be shown: the oldest first.
class FlowSource {
 public:
  virtual ~FlowSource() = default;
  /// The last `most` that there are; next() goes on behind them.
  virtual Result<std::vector<json::object>> latest(std::size_t most) = 0;
  /// What came since, or the next that come within half a minute; maybe none.
  virtual Result<std::vector<json::object>> next() = 0;
  /// Flows that went by before next() asked for them, since the last call of this.
  virtual std::uint64_t missed() { return 0; }
};

/// --since as RFC 3339: a duration back from now, or a time.
Result<std::string> since_of(const Context& context, const std::string& typed);

/// Of a controller that can't be reached: on a device one may ask its own node.
std::unexpected<Error> or_here(const Context& context, Error error);

/// The controller, or with `here` this device's node; `options` outlives it.
Result<std::unique_ptr<FlowSource>> make_flow_source(Context& context, const FlowOptions& options);

}  // namespace cordon::cli
