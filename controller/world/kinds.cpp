#include "controller/world/kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>

#include "controller/world/payloads.h"

namespace cordon::controller::kinds {

namespace {

namespace json = boost::json;

// By the variant's index.
constexpr std::array<std::string_view, std::variant_size_v<Kind>> kNames = {
    "installation created", "policy applied",     "join token created",    "join token revoked",
    "device enrolled",      "device approved",    "device removed",        "device tagged",
    "device isolated",      "device released",    "wireguard key changed", "certificate issued",
    "user added",           "user disabled",      "session opened",        "session closed",
    "api token created",    "api token revoked",  "time advanced",         "login slowed",
    "policy confirmed",     "policy rolled back", "device facts",          "session signals",
    "device classified",    "key rotation asked", "wireguard key offered", "format raised",
    "device added"};

template <std::size_t I = 0>
Result<Kind> decode_as(std::size_t index, std::uint32_t version, const json::value& value) {
  if constexpr (I < std::variant_size_v<Kind>) {
    if (index != I) return decode_as<I + 1>(index, version, value);
    std::variant_alternative_t<I, Kind> kind;
    wire::Fields fields(value, std::string(kNames[I]));
    if constexpr (requires { read(fields, kind, version); }) {
      read(fields, kind, version);
    } else {
      read(fields, kind);
    }
    CORDON_TRY(fields.finish());
    return Kind(std::in_place_index<I>, std::move(kind));
  } else {
    return fail(ErrorCode::internal, "a kind without a decoder");
  }
}

std::uint32_t newest_version(std::size_t index) {
  return index == Kind(PolicyApplied{}).index() || index == Kind(DeviceEnrolled{}).index() ? 2 : 1;
}

}  // namespace

std::uint32_t version_of(const Kind& kind) {
  if (const auto* enrolled = std::get_if<DeviceEnrolled>(&kind)) return enrolled->presharing ? 2 : 1;
  const auto* applied = std::get_if<PolicyApplied>(&kind);
  const bool waits = applied != nullptr && (applied->confirm_by != Timestamp{} || !applied->tzdata.empty());
  return waits ? 2 : 1;
}

std::uint32_t format_of(const Kind& kind) {
  if (std::holds_alternative<FormatRaised>(kind)) return 1;
  if (std::holds_alternative<DeviceAdded>(kind)) return 3;
  return kind.index() < kKindsOfRelease01 && version_of(kind) == 1 ? 1 : 2;
}

Proposal encode(std::string actor, const Kind& kind) {
  return {.actor = std::move(actor),
          .kind = std::string(kNames[kind.index()]),
          .version = version_of(kind),
          .payload = wire::canonical(std::visit([](const auto& k) { return json::value(write(k)); }, kind))};
}

Result<Kind> decode(std::string_view kind, std::uint32_t version, std::string_view payload) {
  const auto name = std::ranges::find(kNames, kind);
  if (name == kNames.end()) {
    return fail(ErrorCode::invalid, fmt::format("unknown kind of change \"{}\"", kind),
                "a newer release of the controller may have written it");
  }
  const auto index = static_cast<std::size_t>(name - kNames.begin());
  if (version == 0 || version > newest_version(index)) {
    return fail(ErrorCode::invalid, fmt::format("unknown version {} of \"{}\"", version, kind),
                "a newer release of the controller may have written it");
  }
  CORDON_ASSIGN(const auto value, wire::parse_json(payload));
  CORDON_ASSIGN(auto decoded, decode_as(index, version, value));
  if (const auto* raised = std::get_if<FormatRaised>(&decoded); raised && raised->format > kNewestFormat) {
    return fail(ErrorCode::invalid,
                fmt::format("the log was raised to format {}, and this release knows formats up to {}",
                            raised->format, kNewestFormat),
                "start the release of the controller that raised it, or a later one");
  }
  const auto again = encode({}, decoded);
  if (again.version != version || again.payload != payload) {
    return fail(ErrorCode::invalid, fmt::format("{}: the payload isn't in its canonical form", kind));
  }
  return decoded;
}

}  // namespace cordon::controller::kinds
