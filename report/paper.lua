-- Alternative texts for the printed report: pandoc's Typst writer leaves them out of its images.

local function quote(text)
  return '"' .. text:gsub('[\\"]', "\\%0") .. '"'
end

local function unescape(address)
  return (address:gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end))
end

function Image(image)
  local alt = quote(pandoc.utils.stringify(image.caption))
  return pandoc.RawInline("typst", "#image(" .. quote(unescape(image.src)) .. ", alt: " .. alt .. ")")
end
