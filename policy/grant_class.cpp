#include "policy/grant_class.h"

#include <algorithm>

namespace cordon::policy {

void append_grants(ClassGrants& grants, Direction direction, TargetId target,
                   const std::vector<PortGrant>& table) {
  for (const PortGrant& grant : table)
    grants.emplace_back(GrantKey{.direction = direction,
                                 .class_id = ClassId{0},
                                 .target = target,
                                 .protocol = grant.protocol,
                                 .port_bits = grant.port_bits,
                                 .port = grant.port},
                        grant.value);
}

ClassId name_class(ClassGrants& grants) {
  if (grants.empty()) return ClassId{0};
  std::ranges::sort(grants, {}, &ClassGrants::value_type::first);
  Bytes content;
  for (const auto& [key, value] : grants) {
    const Bytes entry = encode(key, value);
    content.insert(content.end(), entry.begin(), entry.end());
  }
  const Sha256 hash = sha256(content);
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < 8; ++i) id = id << 8 | hash[i];
  const ClassId named{std::max<std::uint64_t>(id, 1)};
  for (auto& [key, value] : grants) key.class_id = named;
  return named;
}

}  // namespace cordon::policy
