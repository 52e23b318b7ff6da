#pragma once
// What a node may say it understands. A state that needs more is refused with a NACK that names it.

#include <array>
#include <cstddef>
#include <string_view>

namespace cordon::wire {

inline constexpr std::string_view kFeatureState1 =
    "state/1";  ///< the entries of cordon.proto as of this release
inline constexpr std::string_view kFeatureActivity1 = "activity/1";  ///< Heartbeat.sessions
/// Peer.next_public_key, TunnelKeys, KeyOrder, KeyTurns and PresharedKeys.
inline constexpr std::string_view kFeatureKeys1 = "keys/1";
inline constexpr std::string_view kFeatureControllers1 = "controllers/1";  ///< Controllers
inline constexpr std::string_view kFeatureFlows1 = "flows/1";  ///< FlowReport.sequence and FlowAck
/// Targets and allowed-IPs outside the overlay (what is behind a gateway), and Hello.gateway_subnets.
inline constexpr std::string_view kFeatureGateways1 = "gateways/1";
inline constexpr std::array kFeatures = {kFeatureState1,       kFeatureActivity1, kFeatureKeys1,
                                         kFeatureControllers1, kFeatureFlows1,    kFeatureGateways1};
inline constexpr std::size_t kMostToldSessions = 4096;  ///< in one heartbeat
inline constexpr std::size_t kMostControllers = 32;     ///< endpoints of controllers
inline constexpr std::size_t kMostSubnets = 256;        ///< that one gateway forwards to

}  // namespace cordon::wire
