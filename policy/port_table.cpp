#include "policy/port_table.h"

#include <map>
#include <ranges>

#include "policy/port_map.h"

namespace cordon::policy {
namespace {

using OfferMap = PortMap<const Offer*>;

/// What decides each port of each protocol that an offer names, and of any other protocol. Offers are painted
/// from the weakest to the strongest, so that what is seen in the end is the decision.
class Painting {
 public:
  Painting(const std::vector<Offer>& allows, const std::vector<Offer>& forbids) {
    for (const std::vector<Offer>* offers : {&allows, &forbids})
      for (const Offer& offer : *offers)
        for (const Access& access : offer.accesses)
          if (access.protocol) protocols_[*access.protocol];
    for (const std::vector<Offer>* offers : {&allows, &forbids})
      for (const Offer& offer : std::views::reverse(*offers))
        for (const Access& access : offer.accesses) paint(access, offer);
  }

  const Offer* any_protocol() const { return any_; }
  const std::map<std::uint8_t, OfferMap>& protocols() const { return protocols_; }

 private:
  void paint(const Access& access, const Offer& offer) {
    if (access.protocol) return protocols_[*access.protocol].paint(access.ports, &offer);
    any_ = &offer;
    for (auto& [protocol, ports] : protocols_) ports.paint({}, &offer);
  }

  const Offer* any_ = nullptr;
  std::map<std::uint8_t, OfferMap> protocols_;
};

}  // namespace

std::vector<PortPrefix> prefixes_of(PortRange range) {
  std::vector<PortPrefix> out;
  std::uint32_t at = range.first;
  const std::uint32_t end = range.last + 1u;
  while (at < end) {
    std::uint32_t size = at == 0 ? 65536 : at & -at;  // the largest block that is aligned here
    while (at + size > end) size /= 2;
    std::uint8_t bits = 16;
    for (std::uint32_t s = size; s > 1; s /= 2) --bits;
    out.push_back({static_cast<std::uint16_t>(at), bits});
    at += size;
  }
  return out;
}

std::vector<PortGrant> port_table(const std::vector<Offer>& allows, const std::vector<Offer>& forbids) {
  const Painting painting(allows, forbids);
  std::vector<PortGrant> out;
  const Offer* any = painting.any_protocol();
  const bool any_grants = any != nullptr && !any->value.deny;
  if (any_grants) out.push_back({.protocol = 0, .port_bits = 0, .port = 0, .value = any->value});
  for (const auto& [protocol, ports] : painting.protocols())
    for (const auto& [range, offer] : ports.runs()) {
      // What the search finds without an entry is right already: the any-protocol grant, or nothing.
      if (any_grants ? offer == any : offer == nullptr || offer->value.deny) continue;
      for (const PortPrefix& prefix : prefixes_of(range))
        out.push_back(
            {.protocol = protocol, .port_bits = prefix.bits, .port = prefix.port, .value = offer->value});
    }
  return out;
}

}  // namespace cordon::policy
