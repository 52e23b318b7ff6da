#include "node/filter/link_kind.h"

#include <fmt/format.h>
// Before the kernel's own, which then leaves out what both define.
#include <net/if.h>

#include <linux/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

#include "node/filter/descriptor.h"

namespace cordon::node {
namespace {

LinkHeader header_of(unsigned type, bool point_to_point) {
  switch (type) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
      return LinkHeader::ethernet;
    case ARPHRD_NONE:  // tun, WireGuard, xfrm
    case ARPHRD_RAWIP:
    case ARPHRD_PPP:
    case ARPHRD_SLIP:
    case ARPHRD_CSLIP:
    case ARPHRD_SLIP6:
    case ARPHRD_CSLIP6:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
      return LinkHeader::none;
    case ARPHRD_IPGRE:
    case ARPHRD_IP6GRE:
      // To many: the outer headers stand where a link's would.
      return point_to_point ? LinkHeader::none : LinkHeader::unknown;
    case ARPHRD_CAN:
    case ARPHRD_NETLINK:
    case ARPHRD_VSOCKMON:
    case ARPHRD_IEEE80211:
    case ARPHRD_IEEE80211_PRISM:
    case ARPHRD_IEEE80211_RADIOTAP:
    case ARPHRD_IEEE802154:
    case ARPHRD_IEEE802154_MONITOR:
    case ARPHRD_PHONET:
    case ARPHRD_PHONET_PIPE:
      return LinkHeader::no_ip;
    default:
      return LinkHeader::unknown;
  }
}

}  // namespace

Result<LinkKind> link_kind(unsigned ifindex) {
  ifreq request{};
  if (::if_indextoname(ifindex, request.ifr_name) == nullptr)
    return fail_errno(fmt::format("there is no interface #{}", ifindex), errno);
  LinkKind out{.name = request.ifr_name};
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || ::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0)
    return fail_errno(fmt::format("can't ask interface '{}' for its flags", out.name), errno);
  const auto flags = static_cast<unsigned short>(request.ifr_flags);
  if (::ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0)
    return fail_errno(fmt::format("can't ask interface '{}' for its type", out.name), errno);
  out.type = request.ifr_hwaddr.sa_family;
  out.up = (flags & IFF_UP) != 0;
  out.header = header_of(out.type, (flags & IFF_POINTOPOINT) != 0);
  return out;
}

}  // namespace cordon::node
