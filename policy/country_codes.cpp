#include "policy/country_codes.h"

namespace cordon::policy {
namespace {

// The 249 codes that ISO 3166-1 assigns, in order.
constexpr std::string_view kCodes =
    "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCO"
    "CRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHR"
    "HTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMN"
    "MOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSD"
    "SESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYE"
    "YTZAZMZW";
constexpr std::size_t kCount = 249;
static_assert(kCodes.size() == 2 * kCount);

}  // namespace

bool is_country_code(std::string_view text) {
  if (text.size() != 2) return false;
  std::size_t low = 0, high = kCount;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    const std::string_view code = kCodes.substr(2 * middle, 2);
    if (code == text) return true;
    if (code < text)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

}  // namespace cordon::policy
