--- Draw text at the cursor that is not in the buffer.
local compat = require("inkling.compat")

local M = {}

local HIGHLIGHT = "InklingGhost"

M.namespace = vim.api.nvim_create_namespace("inkling")

function M.highlight()
  vim.cmd("highlight default link " .. HIGHLIGHT .. " Comment")
end

--- Return `text` with spaces for its tabs; it begins in the screen column `column`, from 0.
local function expanded(text, column, tabstop)
  local pieces = {}
  for piece, tab in text:gmatch("([^\t]*)(\t?)") do
    column = column + vim.fn.strdisplaywidth(piece)
    local width = tab ~= "" and tabstop - column % tabstop or 0
    column = column + width
    table.insert(pieces, piece .. (" "):rep(width))
  end
  return table.concat(pieces)
end

local function chunks(buf, row, col, first)
  local line = vim.api.nvim_buf_get_lines(buf, row, row + 1, true)[1]
  local column = vim.fn.strdisplaywidth(line:sub(1, col))
  local tabstop = vim.bo[buf].tabstop
  local ghost = { expanded(first, column, tabstop), HIGHLIGHT }
  if compat.has_inline_text or col == #line then
    return { ghost }
  end
  -- Nothing can be drawn between two characters, so what follows is drawn once more behind it.
  column = column + vim.fn.strdisplaywidth(ghost[1])
  return { ghost, { expanded(line:sub(col + 1), column, tabstop), "Normal" } }
end

--- Show `text` behind the first `col` bytes of a line, in place of what was shown in the buffer.
function M.draw(buf, row, col, text)
  local lines = vim.split(text, "\n", { plain = true })
  local options = { id = 1, hl_mode = "combine" }
  if lines[1] ~= "" then
    options.virt_text = chunks(buf, row, col, lines[1])
    options.virt_text_pos = compat.has_inline_text and "inline" or "overlay"
  end
  if #lines > 1 then
    local tabstop = vim.bo[buf].tabstop
    options.virt_lines = vim.tbl_map(function(line)
      return { { expanded(line, 0, tabstop), HIGHLIGHT } }
    end, vim.list_slice(lines, 2))
  end
  vim.api.nvim_buf_set_extmark(buf, M.namespace, row, col, options)
end

function M.clear(buf)
  if vim.api.nvim_buf_is_valid(buf) then
    vim.api.nvim_buf_clear_namespace(buf, M.namespace, 0, -1)
  end
end

return M
