package frameworks

import (
	"net/http"

	echo5 "github.com/labstack/echo/v5"
)

// Echo5 is a server with github.com/labstack/echo/v5.
func Echo5() http.Handler {
	e := echo5.New()
	e.Use(func(next echo5.HandlerFunc) echo5.HandlerFunc {
		return func(c *echo5.Context) error {
			setRoute(c.Path())
			return next(c)
		}
	})
	e.GET("/users/:id", func(c *echo5.Context) error {
		user(c.Response(), c.Param("id"))
		return nil
	})
	e.GET("/teapot", func(*echo5.Context) error { return echo5.NewHTTPError(http.StatusTeapot, "short and stout") })
	e.GET("/fail", echo5.WrapHandler(http.HandlerFunc(fail)))
	e.GET("/slow", echo5.WrapHandler(slow))
	e.POST("/upload", echo5.WrapHandler(http.HandlerFunc(upload)))
	e.GET("/events", echo5.WrapHandler(http.HandlerFunc(events)))
	e.GET("/echo", echo5.WrapHandler(http.HandlerFunc(echo)))
	return wrap(e)
}
