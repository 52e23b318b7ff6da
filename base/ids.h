#pragma once
// Number and name spaces that must not be mixed up are types of their own.

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace cordon {

/// A value of type Rep that is an id of kind Tag and converts to nothing by itself.
template <class Tag, class Rep>
struct StrongId {
  Rep value{};
  StrongId() = default;
  explicit StrongId(Rep v) : value(std::move(v)) {}
  auto operator<=>(const StrongId&) const = default;
  bool operator==(const StrongId&) const = default;
};

using DeviceId = StrongId<struct DeviceIdTag, std::string>;    ///< a device's name, unique: [a-z0-9-]{1,63}
using SubjectId = StrongId<struct SubjectIdTag, std::string>;  ///< a person, opaque ("u-" + 16 hex)
using SessionId = StrongId<struct SessionIdTag, std::string>;  ///< "s-" + 16 hex
using TokenId = StrongId<struct TokenIdTag, std::string>;      ///< "t-" (join) or "a-" (API) + 16 hex

using RuleId = StrongId<struct RuleIdTag, std::uint32_t>;      ///< from 1, never used again; 0: no rule
using TargetId = StrongId<struct TargetIdTag, std::uint32_t>;  ///< of World::target_numbers; 0: none
using ClassId = StrongId<struct ClassIdTag, std::uint64_t>;    ///< named by its content; 0: the empty class
using Revision = StrongId<struct RevisionTag, std::uint64_t>;  ///< position in the change log, from 1

}  // namespace cordon

template <class Tag, class Rep>
struct std::hash<cordon::StrongId<Tag, Rep>> {
  std::size_t operator()(const cordon::StrongId<Tag, Rep>& id) const noexcept {
    return std::hash<Rep>{}(id.value);
  }
};
