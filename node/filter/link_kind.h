#pragma once
// What stands before the IP header where tc sees an interface's packets.

#include <string>

#include "base/result.h"

namespace cordon::node {

enum class LinkHeader {
  ethernet,
  none,     ///< bare IP
  no_ip,    ///< an interface that never carries IP, such as CAN
  unknown,  ///< IP may be there, behind a header that the programs don't read, such as InfiniBand's
};

struct LinkKind {
  std::string name;
  unsigned type = 0;  ///< ARPHRD_* of linux/if_arp.h
  bool up = false;
  LinkHeader header = LinkHeader::unknown;
};

/// Asks the kernel; an error when there is no such interface.
Result<LinkKind> link_kind(unsigned ifindex);

}  // namespace cordon::node
