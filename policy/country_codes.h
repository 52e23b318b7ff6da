#pragma once
// ISO 3166-1 alpha-2.

#include <string_view>

namespace cordon::policy {

/// Is it an officially assigned code ("TW")? Capital letters only.
bool is_country_code(std::string_view text);

}  // namespace cordon::policy
