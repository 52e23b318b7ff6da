#pragma once
// What the filter is compared with: other ways to let the same traffic through, at the receiving end of a
// pair.

#include <string>
#include <vector>

#include "base/result.h"
#include "node/filter/descriptor.h"

namespace cordon::bench {

/// An accepting program without anything in it, at both directions of a namespace's link, as long as the
/// descriptors are open.
Result<std::vector<node::Descriptor>> attach_empty_program(const std::string& ns, int program_fd);

/// nftables with conntrack: one set of (source, port) for each family, with `elements` in each.
Result<> load_nftables_sets(const std::string& ns, unsigned elements);

/// `rules` rules of iptables for each protocol and family, one after the other; the last ones match. The
/// variant by which it was done: "iptables-nft" or "iptables-legacy".
Result<std::string> load_iptables_chain(const std::string& ns, unsigned rules);

}  // namespace cordon::bench
