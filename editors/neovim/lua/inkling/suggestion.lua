--- What an item of the server's answer means in a buffer, and what is left of it.
---
--- A suggestion is `text` that belongs behind the first `col` bytes of the line `row`, which are
--- `before`; `replaced` bytes that follow the place go when all of it is accepted. Nothing here
--- decides what to suggest.
local compat = require("inkling.compat")

local M = {}

--- Return the suggestion that `item` makes at a place, nil for what cannot be shown there.
function M.new(item, row, col, line, encoding)
  if type(item.insertText) ~= "string" then
    return nil -- a snippet
  end
  local text, start, finish = item.insertText:gsub("\r\n?", "\n"), col, col
  if item.range and item.range ~= vim.NIL then
    if item.range.start.line ~= row or item.range["end"].line ~= row then
      return nil
    end
    start = compat.bytes(line, item.range.start.character, encoding)
    finish = compat.bytes(line, item.range["end"].character, encoding)
  end
  if start > col or finish < col then
    return nil
  end
  return {
    item = item,
    text = text,
    row = row,
    col = start,
    before = line:sub(1, start),
    replaced = finish - col,
    newline_units = item.insertText:find("\r\n", 1, true) and 2 or 1,
  }
end

--- Return how much of a suggestion stands before the cursor: nil where something else does.
---
--- `lines` are the buffer's from the suggestion's row to the cursor's, which is at `col` bytes.
function M.reached(suggestion, lines, col)
  local before = suggestion.before
  if #lines == 0 or lines[1]:sub(1, #before) ~= before then
    return nil
  end
  if #lines == 1 and col < #before then
    return nil
  end
  local there = vim.list_slice(lines, 1, #lines)
  there[#there] = there[#there]:sub(1, col)
  local typed = table.concat(there, "\n"):sub(#before + 1)
  return suggestion.text:sub(1, #typed) == typed and #typed or nil
end

--- Return the newer of two suggestions; the server may have answered the older one's rest.
---
--- Then both carry the same command, and the number of accepted characters goes on.
function M.continued(old, reached, new)
  local is_same = old.item.command and vim.deep_equal(old.item.command, new.item.command)
  if not is_same then
    return new
  end
  local text = old.text:sub(1, reached) .. new.text
  return vim.tbl_extend("force", old, { item = new.item, text = text, replaced = new.replaced })
end

local PARTS = {
  all = function(rest)
    return rest
  end,
  word = function(rest)
    return rest:match("^%s*[%w_\128-\255]+") or rest:match("^%s*[^%w_%s\128-\255]+") or rest
  end,
  line = function(rest)
    return rest:match("^\n*[^\n]*")
  end,
}

--- Return the piece that is accepted of what is left: `part` is all, word or line.
function M.piece(rest, part)
  return PARTS[part](rest)
end

--- Return the length of the first `reached` bytes as the server counts them, in UTF-16 units.
function M.utf16_length(suggestion, reached)
  local text = suggestion.text:sub(1, reached)
  local _, characters = text:gsub("[^\128-\191]", "")
  local _, astral = text:gsub("[\240-\247]", "")
  local _, newlines = text:gsub("\n", "")
  return characters + astral + newlines * (suggestion.newline_units - 1)
end

return M
