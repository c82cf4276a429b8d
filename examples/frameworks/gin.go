package frameworks

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// Gin is a server with github.com/gin-gonic/gin.
func Gin() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(func(c *gin.Context) { setRoute(c.FullPath()) })
	r.GET("/users/:id", func(c *gin.Context) { user(c.Writer, c.Param("id")) })
	r.GET("/teapot", func(c *gin.Context) { c.String(http.StatusTeapot, "short and stout") })
	r.GET("/fail", gin.WrapF(fail))
	r.GET("/slow", gin.WrapH(slow))
	r.POST("/upload", gin.WrapF(upload))
	r.GET("/events", gin.WrapF(events))
	r.GET("/echo", gin.WrapF(echo))
	return wrap(r)
}
